"""Validation during training: which checkpoint the validation cases select. Test cases never come here."""

import math

from . import tasks
from .store import Case


class Validation:
    """The mean over classes (and cases, in segmentation) of one metric of the headline output; the earliest best is kept.

    The metric is the study's ``select_by``: by default Dice, or macro F1 in classification.
    """

    def __init__(self, cases: list[Case], facts, spec: dict, state: dict | None = None):
        self.cases, self.classes, self.task = cases, list(facts.classes), tasks.of(facts.task)
        self.settings, self.patch = spec["validation"], spec["recipe"]["patch"]
        self.metric = self.settings.get("select_by", self.task.SELECT_BY)
        self.best, self.scores = (state["best"], state["scores"]) if state else (-1.0, [])

    def improved(self, method, step: int) -> bool:
        """Evaluate and return whether this is the best so far."""
        method.eval()
        found = self.task.infer(method, self.cases, self.settings["output"], self.settings, self.patch)
        rows = self.task.score(self.task.predictions(found, self.settings), self.cases, self.classes)
        values = [row[self.metric] for row in rows if row["class"]]
        score = float(sum(values) / len(values))
        if math.isnan(score):  # a class that no validation case has gives no AUC
            score = -1.0
        better = score > self.best or not self.scores
        self.best = max(self.best, score)
        self.scores.append([step, score])
        return better

    def state(self) -> dict:
        return {"best": self.best, "scores": self.scores}

    def record(self) -> dict:
        """Return what ``run.json`` says: every validation and the selected step."""
        step, score = max(self.scores, key=lambda pair: pair[1])
        return {"selected_step": step, self.metric: score, "scores": self.scores}
