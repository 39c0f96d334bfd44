"""What the engine keeps, whatever the method: stops, refusals, hand-overs, and work folders in every state."""

import json
import logging
import os
import shutil
import signal

import pytest
import torch
from semimed import train as training
from semimed import trainer as looping
from semimed.errors import BadInput
from semimed.history import History
from semimed.locks import alone
from semimed.tasks import segmentation
from semimed.trainer import Trainer
from tiny import RECIPE, equal, history, iterate, make_clock, make_job, make_spec, run, stop_after, train, weights
from tiny_data import write_data


def test_the_critic_trains_by_its_own_schedule(trainer):
    made = trainer("toy-critic")
    critic = made.optimisers["critic"]
    rates = []
    for _ in range(8):
        made._iterate()
        rates.append(critic.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.004] * 3 + [0.002] * 3 + [0.001] * 2)
    assert {id(p) for p in critic.parameters} == {id(p) for p in made.method.critic.parameters()}


def test_the_meta_step_reaches_the_weight_network_through_the_student(trainer):
    made = trainer("toy-meta")
    before = [p.clone() for p in made.method.weights.parameters()]
    iterate(made)
    moved = [not torch.equal(p, old) for p, old in zip(made.method.weights.parameters(), before, strict=True)]
    assert all(moved) and all(p.grad.any() for p in made.method.weights[2].parameters())


def test_the_bank_is_addressed_by_index_and_emptied_per_epoch(trainer):
    made = trainer("toy-bank")
    assert made.data.sampler.steps_per_epoch == 2
    for step in range(4):
        made._iterate()
        drawn = {i for s in range(step - step % 2, step + 1) for i in made.data.sampler.indices(s)[0]}
        assert set(made.method.filled.nonzero().flatten().tolist()) == drawn and len(drawn) == (8 if step % 2 else 4)
        assert torch.equal(made.method.bank.any(1), made.method.filled)
    assert float(made.history.write(4, 0.0)["bank"]) == pytest.approx((4 + 8 + 4 + 8) / 4)


@pytest.mark.parametrize("moment", ["log", "save", "keep", "validate"])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, trainer, data, monkeypatch, moment):
    """Step 3 is bad and the flag is read first at the log interval, or before one of the three kinds of writes."""
    names = {
        name for made in [trainer("supervised")] for pair in made.data.sampler.indices(2) for name in made.data.names(pair)
    }
    original, steps = Trainer._iterate, []

    def iterate(self):
        steps.append(self.step)
        self.history.interval = 1 if moment == "log" else 100
        if self.step == 2:
            with torch.no_grad():
                next(self.method.parameters()).fill_(float("nan"))
        return original(self)

    monkeypatch.setattr(Trainer, "_iterate", iterate)
    spec = make_spec("supervised", validation=moment == "validate")
    options = {"save_seconds": 0.0 if moment == "save" else 1e9, "kept": [3] if moment == "keep" else []}
    job = make_job(spec, tmp_path / "run", data, **options)
    with pytest.raises(BadInput, match="not finite at step 3 of tiny supervised") as caught:
        train(job)
    assert all(case in str(caught.value) for case in names) and steps == [0, 1, 2]
    files = {path.name: torch.load(path, weights_only=True) for path in job.folder.rglob("*.pt")}
    assert set(files) == ({"resume.pt", "resume.previous.pt"} if moment == "save" else set())
    assert [files[name]["step"] for name in sorted(files)] == ([1, 2] if moment == "save" else [])
    assert not list(job.folder.rglob("run.json"))


def test_validation_selects_the_earliest_best(tmp_path, data, monkeypatch):
    scores = iter([0.5, 0.5, 0.6, 0.8, 0.7, 0.7])  # two cases, steps 3, 6 and 8
    monkeypatch.setattr(segmentation, "score_case", lambda *given: [{"class": "atrium", "dice": next(scores)}])
    folder = run(make_spec("supervised"), tmp_path / "run", data)
    record = json.loads((folder / "run.json").read_text())["validation"]
    assert record["scores"] == [[3, pytest.approx(0.5)], [6, pytest.approx(0.7)], [8, pytest.approx(0.7)]]
    assert record["selected_step"] == 6 and record["dice"] == pytest.approx(0.7)
    assert torch.load(folder / "weights" / "best.pt", weights_only=True)["step"] == 6


def test_finished_work_is_taken(tmp_path, data, straight, monkeypatch):
    """Killed after the last step and before publishing: the next call publishes and trains nothing."""
    job, expected = make_job(make_spec("mt"), tmp_path / "run", data), weights(straight("mt"))
    with monkeypatch.context() as patch:
        patch.setattr(training, "publish", lambda work, folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(job)
    assert (job.folder / "work" / "run.json").exists() and not (job.folder / "run.json").exists()
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    train(job)
    assert equal(weights(job.folder), expected) and not (job.folder / "work").exists()


def test_a_killed_publishing_loses_nothing(tmp_path, data, monkeypatch):
    job = make_job(make_spec("supervised"), tmp_path / "run", data)
    moved = []

    def killed(source, target, replace=os.replace):
        if "publishing" in str(source):
            moved.append(target)
            if len(moved) == 3:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(training.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            train(job)
    shutil.rmtree(job.folder / "weights", ignore_errors=True)  # as Snakemake does before it runs the job again
    train(job)
    assert {"last.pt", "best.pt", "step000004.pt", "step000008.pt"} == {p.name for p in (job.folder / "weights").iterdir()}


def test_a_half_finished_row_of_the_history_is_taken_up(tmp_path, data, monkeypatch):
    monkeypatch.setattr(looping, "History", lambda path, interval, step, sums: History(path, 4, step, sums))
    whole = run(make_spec("supervised"), tmp_path / "whole", data)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_iterate", stop_after(6, lambda: os.kill(os.getpid(), signal.SIGUSR1)))
        with pytest.raises(BadInput, match="stopped by SIGUSR1 at step 6"):
            run(make_spec("supervised"), tmp_path / "parts", data)
    parts = run(make_spec("supervised"), tmp_path / "parts", data)
    assert history(parts) == history(whole) and [row["step"] for row in history(parts)] == ["4", "8"]


def test_views_and_batches_are_functions_of_seed_and_step(trainer):
    data = trainer("mt").data
    views = {"rest": ("noise", "unlabelled"), "all": "noise", "clean": "clean"}
    first, second = data.batch(3, views), data.batch(3, views)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    noisy = first.view("all")
    assert torch.equal(torch.rand(1), expected), "a view disturbed the step's own randomness"
    assert second.view("rest").shape[0] == 4 and torch.equal(second.view("all"), noisy) and first.view("all") is noisy
    assert torch.equal(first.view("clean"), first.image) and torch.equal(first.image, second.image)
    assert not torch.equal(noisy[4:], second.view("rest")) and not torch.equal(data.batch(4, views).image, first.image)
    assert first.label.shape == (4, 16, 16, 16) and (first.labelled, first.unlabelled) == (4, 4)
    assert first.index[:4].max() < 8 <= first.index[4:].min() and first.names[0] == f"train{first.index[0]:02d}"


def test_a_foreign_work_folder_starts_from_step_0(tmp_path, data, straight, monkeypatch, caplog):
    other = make_job(make_spec("mt", seed=1), tmp_path / "run", data)

    def killed():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_iterate", stop_after(5, killed))
        with pytest.raises(KeyboardInterrupt):
            train(make_job(make_spec("mt", seed=1), tmp_path / "run", data, save_seconds=0.0))
    (other.folder / "work" / "weights" / "step000002.pt").write_text("of the other run")
    with caplog.at_level(logging.WARNING, "semimed"):
        folder = run(make_spec("mt"), tmp_path / "run", data)
    assert "belongs to another configuration, data or code; training starts from step 0" in caplog.text
    assert equal(weights(folder), weights(straight("mt")))
    assert not (folder / "weights" / "step000002.pt").exists()


def test_a_checkpoint_given_by_hand_must_belong_to_the_run(tmp_path, data, straight):
    spec = make_spec("mt")
    with pytest.raises(BadInput, match="does not belong to this run"):
        run(spec, tmp_path / "run", data, resume=straight("mt") / "weights" / "last.pt")
    with pytest.raises(BadInput, match=r"no checkpoint .*nowhere\.pt"):
        run(spec, tmp_path / "run", data, resume=tmp_path / "nowhere.pt")


def test_changed_data_changes_the_hash(tmp_path, data, straight):
    hashes = {json.loads((straight("supervised") / "run.json").read_text())["hash"]}
    other = write_data(tmp_path / "data")
    with (other / "cases.csv").open("a") as handle:
        handle.write((other / "cases.csv").read_text().splitlines()[-1].replace("test01", "test02") + "\n")
    for name, spec, folder in (("data", make_spec("supervised"), other), ("seed", make_spec("supervised", seed=1), data)):
        done = run(spec, tmp_path / name, folder)
        hashes.add(json.loads((done / "run.json").read_text())["hash"])
    assert len(hashes) == 3


def test_seeds_and_clocks(tmp_path, data, straight, monkeypatch):
    clocks = []
    original = Trainer._iterate

    def spy(self):
        step = self.method.step
        self.method.step = lambda batch, t: clocks.append(t) or step(batch, t)
        try:
            return original(self)
        finally:
            self.method.step = step

    monkeypatch.setattr(Trainer, "_iterate", spy)
    folder = run(make_spec("supervised", seed=7, warmup_steps=4), tmp_path / "run", data)
    assert not equal(weights(folder), weights(straight("supervised")))
    seen = [(t.step, t.steps, t.total, t.epoch, t.starts_stage, t.starts_epoch) for t in clocks]
    assert seen == [(s, 8, s + 4, s // 2, s == 0, s % 2 == 0) for s in range(8)]
    assert make_clock(3).epoch == 1 and RECIPE["labelled"] * 2 == 8


def test_the_recipe_keeps_its_optimiser_options_after_the_hand_over(tmp_path, data, warmups):
    own = {"name": "sgd", "lr": 0.05, "momentum": 0.5, "weight_decay": 0.0}
    trained = Trainer.__init__
    job = make_job(make_spec("toy-handover", recipe={"optimiser": own}), tmp_path / "run", data, warmup=warmups("toy-handover"))
    (job.folder / "work").mkdir(parents=True)
    made = Trainer.__new__(Trainer)
    trained(made, job, "x", job.folder / "work")
    group = made.optimisers["main"].optimiser.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.0)


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, data):
    job = make_job(make_spec("supervised"), tmp_path / "run", data)
    held = alone(job.folder / ".lock", "held")
    with held, pytest.raises(BadInput, match=rf"is being trained by another process \(process {os.getpid()}\): wait"):
        train(job)
    train(job)
    assert not (job.folder / ".lock").exists()
