"""What every method must keep, those of the package and four toys that stand for what is to come."""

import ast
import dataclasses
import json
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from semimed.build import load_method
from semimed.ema import Teacher
from semimed.errors import BadInput
from semimed.methods import method_class
from semimed.trainer import Trainer
from semimed.training_set import TrainingSet
from tiny import (
    METHODS,
    STEPS,
    STOP,
    SUBJECTS,
    WITH_WARMUP,
    entry_of,
    equal,
    example,
    history,
    iterate,
    kind_of,
    make_job,
    make_spec,
    make_trainer,
    run,
    stop_after,
    task_of,
    train,
    weights,
)
from tiny_data import spoil_classes, spoil_masks, write_data

STAGES = [(name, stage) for name in SUBJECTS for stage in ("train", "warmup") if stage == "train" or name in WITH_WARMUP]
every_method = pytest.mark.parametrize("name", SUBJECTS)
every_stage = pytest.mark.parametrize(("name", "stage"), STAGES)


def test_toys_are_found():
    assert {"toy-critic", "toy-meta", "toy-bank", "toy-handover"} < set(METHODS) and len(METHODS) > 4


@every_stage
def test_a_few_steps_lower_the_supervised_term(trainer, name, stage):
    made = trainer(name, stage)
    steps = [iterate(made, stage=stage) for _ in range(8)]
    if stage == "warmup" and "supervised" not in steps[0]:
        pytest.skip("a first stage without labels")
    losses = [terms["supervised"].item() for terms in steps]
    assert losses[-1] < 0.97 * losses[0], losses


@every_stage
def test_gradients_reach_students_and_never_a_teacher(trainer, name, stage):
    made = trainer(name, stage)
    before = {key: value.clone() for key, value in made.method.named_parameters()}
    iterate(made, stage=stage)
    teachers = [module for module in made.method.modules() if isinstance(module, Teacher)]
    averaged = {id(p) for teacher in teachers for p in teacher.parameters()}
    for key, parameter in made.method.named_parameters():
        if id(parameter) in averaged:
            assert not parameter.requires_grad and parameter.grad is None, key
        elif stage == "train":
            assert parameter.requires_grad and parameter.grad is not None, key
            moved = not torch.equal(parameter, before[key])
            assert moved or not parameter.grad.any(), f"{key} has a gradient but no optimiser moved it"
    reached = [p for p in made.method.parameters() if p.grad is not None and p.grad.any()]
    assert len(reached) > 20


@every_method
def test_every_trainable_parameter_has_exactly_one_optimiser(trainer, name):
    made = trainer(name)
    owned = [id(p) for o in made.optimisers.values() for group in o.optimiser.param_groups for p in group["params"]]
    trainable = [id(p) for p in made.method.parameters() if p.requires_grad]
    assert sorted(owned) == sorted(trainable)


@every_method
def test_outputs_are_declared_headline_first(trainer, name):
    method = trainer(name).method.eval()
    assert entry_of(name).outputs == method_class(entry_of(name).name).outputs == method.outputs
    image = example(name)
    with torch.no_grad():
        assert torch.equal(method.predict(image), method.predict(image, method.outputs[0]))


@every_method
def test_predictions_are_probabilities_and_deterministic(straight, name):
    method, _ = load_method(straight(name) / "weights" / "last.pt", torch.device("cpu"))
    assert not any(module.training for module in method.modules())
    image, classes = example(name), {"": 2, "2d": 4, "class": 7}[kind_of(name)]
    for output in method.outputs:
        with torch.no_grad():
            first, second = method.predict(image, output), method.predict(image, output)
            alone = method.predict(image[:1], output)
        assert (
            first.shape == (2, classes, *(() if kind_of(name) == "class" else image.shape[2:])) and first.dtype == torch.float32
        )
        assert torch.equal(first, second) and torch.allclose(first[:1], alone, atol=1e-6)
        assert first.min() >= 0 and torch.allclose(first.sum(1), torch.ones(()), atol=1e-5)
    with torch.no_grad():
        vectors = method.embed(image)
    assert vectors.ndim == 2 and len(vectors) == 2 and vectors.dtype == torch.float32 and vectors.isfinite().all()
    assert not any(module.training for module in method.modules())


@every_method
def test_a_checkpoint_gives_back_state_and_predictions(tmp_path, data_of, warmups, monkeypatch, name):
    """The tensors of the checkpoint and of the live method agree bit for bit, and so does what they predict."""
    kept = {}
    finish = Trainer._finish

    def spy(self):
        method = self.method.eval()
        with torch.no_grad():
            kept["predictions"] = {output: method.predict(example(name), output).clone() for output in method.outputs}
        kept["state"] = {key: value.clone() for key, value in method.state_dict().items()}
        finish(self)

    monkeypatch.setattr(Trainer, "_finish", spy)
    spec = make_spec(name, validation=False, recipe={"steps": 2})
    folder = run(spec, tmp_path / "run", data_of(name), warmup=warmups(name), kept=[])
    loaded, content = load_method(folder / "weights" / "last.pt", torch.device("cpu"))
    assert equal(loaded.state_dict(), kept["state"]) and content["step"] == 2
    for output, prediction in kept["predictions"].items():
        with torch.no_grad():
            assert torch.equal(loaded.predict(example(name), output), prediction), output


@every_method
def test_a_resumed_run_equals_a_straight_one(tmp_path, data_of, warmups, straight, monkeypatch, name):
    """Stopped by a real SIGTERM at step 5, then run again with another number of threads, which must not count."""
    job = make_job(make_spec(name), tmp_path / "run", data_of(name), warmup=warmups(name))
    original = Trainer._iterate
    monkeypatch.setattr(Trainer, "_iterate", stop_after(STOP, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(BadInput, match=f"stopped by SIGTERM at step {STOP} of {STEPS}: saved"):
        train(job)
    assert not (job.folder / "run.json").exists()
    steps = []
    monkeypatch.setattr(Trainer, "_iterate", lambda self: steps.append(self.step) or original(self))
    train(dataclasses.replace(job, threads=2))
    assert steps == list(range(STOP, STEPS)) and torch.get_num_threads() == 1
    records = [json.loads((folder / "run.json").read_text()) for folder in (straight(name), job.folder)]
    assert records[0]["validation"] == records[1]["validation"] and records[1]["threads"] == 1
    assert history(job.folder) == history(straight(name))
    assert sorted(path.name for path in (job.folder / "weights").iterdir()) == [
        "best.pt",
        "last.pt",
        "step000004.pt",
        "step000008.pt",
    ]
    for kept in ("last", "best", "step000004", "step000008"):
        assert equal(weights(job.folder, kept), weights(straight(name), kept)), kept
    assert not (job.folder / "work").exists()


@every_method
def test_unlabelled_annotations_and_test_cases_are_never_read(tmp_path, warmups, straight, name):
    """Labels of unlabelled cases are garbage or gone, test cases are gone; every weight stays the same."""
    data = write_data(tmp_path / "data", kind_of(name))
    (spoil_classes if kind_of(name) == "class" else spoil_masks)(data)
    folder = run(make_spec(name), tmp_path / "run", data, warmup=warmups(name))
    for kept in ("last", "best"):
        assert equal(weights(folder, kept), weights(straight(name), kept))


@every_method
def test_precision_is_a_matter_of_the_gpu(tmp_path, data_of, warmups, straight, name):
    folder = run(make_spec(name, recipe={"precision": "fp32"}), tmp_path / "run", data_of(name), warmup=warmups(name))
    assert equal(weights(folder), weights(straight(name)))


@every_stage
def test_no_step_enters_autocast(trainer, monkeypatch, name, stage):
    made = trainer(name, stage)
    monkeypatch.setattr(torch.autocast, "__enter__", lambda self: pytest.fail("autocast in a step"))
    iterate(made, stage=stage)


@every_method
def test_no_autocast_and_no_yield_inside_with_in_the_source(name):
    for path in entry_of(name).files:
        text = path.read_text()
        assert "autocast" not in text
        for block in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.With)):
            assert not any(isinstance(node, ast.Yield) for node in ast.walk(block)), f"a yield inside a with in {path.name}"


@every_method
def test_state_is_of_final_shape_from_construction(straight, name):
    """A method rebuilt from the facts alone takes the trained state, and training made no new state."""
    trained = weights(straight(name))
    fresh, _ = load_method(straight(name) / "weights" / "last.pt", torch.device("cpu"))
    assert isinstance(fresh.data, SimpleNamespace) and not isinstance(fresh.data, TrainingSet)
    assert {key: value.shape for key, value in fresh.state_dict().items()} == {k: v.shape for k, v in trained.items()}


def changed(entry, task: str) -> dict:
    """Return every hyper-parameter with another value than its default."""

    def other(key, value):
        if isinstance(value, bool):
            return not value
        if isinstance(value, str):
            return next(word for word in entry.words.get(key, ("another",)) if word != value)
        return value + 2 if isinstance(value, int) else value / 2 + 0.01

    return {key: other(key, value) for key, value in entry.defaults[task].items()}


@pytest.mark.parametrize("name", WITH_WARMUP)
def test_the_warm_up_depends_on_warmup_alone(tmp_path, data_of, warmups, name):
    hyper, defaults = changed(entry_of(name), task_of(name)), entry_of(name).defaults[task_of(name)]
    assert all(value != defaults[key] for key, value in hyper.items())
    spec = make_spec(name, "warmup", hyperparameters=hyper)
    folder = run(spec, tmp_path / "warmup", data_of(name), stage="warmup", kept=[])
    assert equal(weights(folder, "selected"), weights(warmups(name), "selected"))


@pytest.mark.parametrize("name", WITH_WARMUP)
def test_the_warm_up_hands_over_weights_and_momentum(tmp_path, data_of, warmups, name):
    handed = torch.load(warmups(name) / "weights" / "selected.pt", weights_only=True)
    first = make_trainer(make_job(make_spec(name), tmp_path / "first", data_of(name), warmup=warmups(name)))
    assert equal(first.method.state_dict(), handed["method"])
    momenta = first.optimisers["main"].optimiser.state_dict()["state"]
    assert any(state["momentum_buffer"].any() for state in momenta.values())
    for index, state in handed["optimisers"]["main"]["state"].items():
        assert torch.equal(momenta[index]["momentum_buffer"], state["momentum_buffer"])
    second = make_trainer(make_job(make_spec(name), tmp_path / "second", data_of(name), warmup=warmups(name)))
    second.optimisers["main"].optimiser.state.clear()
    for made in (first, second):
        made._iterate()
    assert not equal(first.method.state_dict(), second.method.state_dict())


def test_the_trained_weights_are_worth_resuming(straight):
    """Guards the checks above: different methods, and different steps of one, do not have equal weights by accident."""
    for name in SUBJECTS:
        assert not equal(weights(straight(name), "step000004"), weights(straight(name), "last"))
