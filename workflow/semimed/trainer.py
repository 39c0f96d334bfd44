"""The one training loop: for every method, both stages, every data set; resumable at any moment."""

import json
import logging
import shutil
import signal
import time
from pathlib import Path

import torch

from . import checkpoint
from .build import build_method, choose_device
from .datasets import load as load_dataset
from .errors import BadInput
from .files import file_digest, write_json
from .history import History, loss_of, stop_at
from .identity import engine_hash
from .machine import describe
from .methods.base import Clock
from .optimise import MAIN, build_optimisers, run_step
from .progress import Progress
from .randomness import seeded
from .splits import check_classes, check_groups, read_split
from .splits import labelled as labelled_cases
from .store import Case, read_cases
from .training_job import Job
from .training_set import TrainingSet
from .validation import Validation

log = logging.getLogger(__name__)
SAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Trainer:
    """One stage of one run, from wherever its checkpoint stands to its last step."""

    def __init__(self, job: Job, identity: str, work: Path):
        self.job, self.identity, self.work, self.weights = job, identity, work, work / "weights"
        self.spec = json.loads(job.spec)
        self.recipe, self.steps = self.spec["recipe"], self.spec["recipe"]["steps"]
        self.device = choose_device(job.device)
        self.resume_file = checkpoint.ResumeFile(work)
        resumed = self._resumed()
        self.threads = resumed["threads"] if resumed else job.threads
        torch.set_num_threads(self.threads)
        self.seed = (self.spec["seed"], job.stage)
        self.rows = read_split(job.split)
        self.data = self._training_set()
        pretrained = None if resumed else job.pretrained
        self.method = build_method(self.spec, self.data, (self.spec["seed"],), pretrained).to(self.device)
        self.optimisers = build_optimisers(self.method, self.recipe)
        self.step, self.spent, best, sums = 0, 0.0, None, None
        if resumed:
            self._restore(resumed)
            self.step, self.spent, best, sums = resumed["step"], resumed["seconds"], resumed["best"], resumed["sums"]
            log.info("going on from step %d of %d", self.step, self.steps)
        else:
            self._clear()
            if job.warmup:
                self._take_over(checkpoint.load(Path(job.warmup) / "weights" / "selected.pt"))
        self.history = History(work / "history.csv", max(1, min(20, self.steps // 100)), self.step, sums)
        self.validation = self._validation(best)
        # As they were when this process loaded them: the files may be edited while it runs.
        self.made_from = {
            "engine": engine_hash(),
            "code": {Path(path).name: file_digest(path) for path in job.method_files},
            "data": {"cases": file_digest(Path(job.data) / "cases.csv"), "split": file_digest(job.split)},
        }
        self.started, self.stopped_by = time.monotonic(), None

    def run(self) -> None:
        """Train to the last step; save by time and on the signals of ``SAVING``, which end the job after saving."""
        handlers = {number: signal.signal(number, self._on_signal) for number in SAVING}
        progress = Progress(self._label(), self.steps, self.step)
        saved = time.monotonic()
        try:
            while self.step < self.steps:
                rate = self._iterate()
                if self.step % self.history.interval == 0 or self.step == self.steps:
                    self._check_finite()
                    row = self.history.write(self.step, rate)
                    progress.update(self.step, f"loss {loss_of(row):.3f}, {row['seconds']:.2f} s per step")
                self._at_milestones()
                if self.stopped_by or time.monotonic() - saved > self.job.save_seconds:
                    self._save_resume()
                    saved = time.monotonic()
                if self.stopped_by:
                    raise BadInput(
                        f"stopped by {signal.Signals(self.stopped_by).name} at step {self.step} of {self.steps}: saved; "
                        "run it again and it goes on from here"
                    )
        finally:
            progress.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self._finish()

    def _iterate(self) -> float:
        """Do one iteration and return its learning rate."""
        epochs, epoch = self.recipe.get("epochs"), self.data.epoch(self.step)
        rates = {name: optimiser.set_rate(self.step, self.steps, epochs) for name, optimiser in self.optimisers.items()}
        batch = self.data.batch(self.step, self.method.views)
        clock = Clock(
            step=self.step,
            steps=self.steps,
            total=self.step + self.spec.get("warmup_steps", 0),
            epoch=epoch,
            starts_stage=self.step == 0,
            starts_epoch=self.step == 0 or epoch != self.data.epoch(self.step - 1),
        )
        self.method.train()
        with seeded(*self.seed, self.step, "step"):
            step = self.method.warmup_step if self.job.stage == "warmup" else self.method.step
            terms = run_step(step(batch, clock), self.optimisers, self.recipe.get("clip"))
        self.step += 1
        self.history.add(self.step, terms, clock.diagnostics)
        return rates[MAIN]

    def _at_milestones(self) -> None:
        if self.step in self.job.kept:
            self._check_finite()
            checkpoint.save(self.weights / f"step{self.step:06d}.pt", self._weights())
        if self.validation and (self.step % self.recipe["validate_every"] == 0 or self.step == self.steps):
            self._check_finite()
            if self.validation.improved(self.method, self.step):
                optimisers = self._optimiser_states() if self.job.stage == "warmup" else {}
                checkpoint.save(self.weights / "best.pt", {**self._weights(), **optimisers})
                # At once, so that a resumed run knows the best checkpoint by the score it has.
                self._save_resume()

    def _finish(self) -> None:
        """Write the outputs of the stage into ``work``, ``run.json`` last: from then on the work is finished."""
        self._check_finite()
        if self.job.stage == "train":
            checkpoint.save(self.weights / "last.pt", self._weights())
        elif self.validation:
            # A copy, so that a job killed before run.json is written still finds the best one.
            shutil.copyfile(self.weights / "best.pt", self.weights / "selected.pt")
        else:
            checkpoint.save(self.weights / "selected.pt", {**self._weights(), **self._optimiser_states()})
        batch = self.recipe["labelled"] + self.recipe["unlabelled"]
        before = self._warmup_run()
        record = {
            **self.job.name,
            "hash": self.identity,
            "steps": self.steps,
            "warmup_steps": before.get("steps", 0),
            "images": self.steps * batch + before.get("images", 0),
            "seconds": round(self._seconds(), 3),
            "validation": self.validation.record() if self.validation else None,
            "threads": self.threads,
            **self.made_from,
            **describe(self.device),
            "facts": self.data.facts.plain(),
            "config": self.spec,
        }
        write_json(self.work / "run.json", record)
        log.info("%s: %d steps in %.0f s", self._label(), self.steps, record["seconds"])

    def _cases(self, subset: str) -> list[Case]:
        """Return the cases of a subset in rank order; of test cases nothing but the name is ever read here."""
        prepared = read_cases(self.job.data).cases
        rows = [row for row in self.rows if row.subset == subset]
        ranked = sorted(rows, key=lambda row: (row.rank is None, row.rank))
        return [prepared[row.case] for row in ranked]

    def _training_set(self) -> TrainingSet:
        dataset, kept = load_dataset(self.spec["dataset"]), set(labelled_cases(self.rows, self.spec["budget"]))
        train = self._cases("train")
        if self.spec.get("split", {}).get("by") != "case":
            check_groups(self.rows)
        if dataset.task == "classification":
            check_classes(self.rows, self.spec["budget"], train, dataset.classes)
        first = [case for case in train if case.case in kept]
        rest = [case for case in train if case.case not in kept]
        return TrainingSet(first, rest, dataset, self.recipe, self.seed, self.device)

    def _validation(self, best: dict | None) -> Validation | None:
        if self.spec["validation"] is None:
            return None
        return Validation(self._cases("validation"), self.data.facts, self.spec, best)

    def _weights(self) -> dict:
        facts, state = self.data.facts.plain(), self.method.state_dict()
        return {"hash": self.identity, "spec": self.job.spec, "facts": facts, "step": self.step, "method": state}

    def _optimiser_states(self) -> dict:
        states = {name: optimiser.optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        return {"optimiser": self.recipe["optimiser"]["name"], "optimisers": states}

    def _save_resume(self) -> None:
        self._check_finite()
        state = {"seconds": self._seconds(), "threads": self.threads, "sums": self.history.sums}
        best = self.validation.state() if self.validation else None
        self.resume_file.save({**self._weights(), **self._optimiser_states(), **state, "best": best})

    def _resumed(self) -> dict | None:
        if self.job.resume is None:
            return self.resume_file.load(self.identity)
        content = checkpoint.load(self.job.resume)
        if content["hash"] != self.identity or "optimisers" not in content:
            raise BadInput(
                f"checkpoint {self.job.resume} does not belong to this run: another configuration, data or code made it; "
                "leave it out to train from step 0"
            )
        return content

    def _restore(self, content: dict) -> None:
        self.method.load_state_dict(content["method"])
        for name, state in content["optimisers"].items():
            self.optimisers[name].optimiser.load_state_dict(state)

    def _take_over(self, content: dict) -> None:
        """Start from a warm-up: its weights and, where the optimiser is of the same kind, what that has gathered."""
        self.method.load_state_dict(content["method"])
        if content["optimiser"] == self.recipe["optimiser"]["name"]:
            for name, state in content["optimisers"].items():
                self.optimisers[name].take_over(state)

    def _clear(self) -> None:
        """Remove what another training left in the work folder."""
        for path in sorted(self.work.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _check_finite(self) -> None:
        bad = self.history.bad_step()
        if bad is not None:
            labelled, unlabelled = self.data.sampler.indices(bad - 1)
            raise stop_at(bad, self._label(), self.data.names([*labelled, *unlabelled]))

    def _warmup_run(self) -> dict:
        return json.loads((Path(self.job.warmup) / "run.json").read_text()) if self.job.warmup else {}

    def _seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    def _label(self) -> str:
        return " ".join(str(value) for value in self.job.name.values())

    def _on_signal(self, number, frame) -> None:
        self.stopped_by = number
