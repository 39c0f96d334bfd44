"""Validation during training: which checkpoint the validation cases select. Test cases never come here."""

import torch

from .inference import label_map, predict_case
from .metrics.segmentation import score_case
from .store import Case, load_image, load_label


class Validation:
    """Mean Dice over validation cases and foreground classes of the headline output; the earliest best is kept."""

    def __init__(self, cases: list[Case], classes, spec: dict, device: torch.device, state: dict | None = None):
        self.classes, self.device = classes, device
        self.settings, self.patch = spec["validation"], spec["recipe"]["patch"]
        self.cases = [(torch.from_numpy(load_image(case)), load_label(case)) for case in cases]
        self.best, self.scores = (state["best"], state["scores"]) if state else (-1.0, [])

    def improved(self, method, step: int) -> bool:
        """Evaluate and return whether this is the best so far."""
        method.eval()
        values = []
        for image, label in self.cases:
            image, output = image.to(self.device), self.settings["output"]
            probabilities = predict_case(method, image, output, self.settings, self.patch)
            rows = score_case(label_map(probabilities, self.settings), label, self.classes)
            values += [row["dice"] for row in rows]
        score = float(sum(values) / len(values))
        better = score > self.best
        self.best = max(self.best, score)
        self.scores.append([step, score])
        return better

    def state(self) -> dict:
        return {"best": self.best, "scores": self.scores}

    def record(self) -> dict:
        """Return what ``run.json`` says: every validation and the selected step."""
        step, score = max(self.scores, key=lambda pair: pair[1])
        return {"selected_step": step, "dice": score, "scores": self.scores}
