"""A classifier that looks its answers up: image k has row k of the probabilities of the worked examples K1 and K2."""

import json

import numpy as np
import torch
from test_metrics_classification import ABC, P, Y

#: the images of the hand-worked examples of the metrics: number k is of class Y[k] and has the probabilities P[k]
TARGETS = {f"case{number}": int(target) for number, target in enumerate(Y)}
SECOND = P[:, [1, 0, 2]]


class Lookup(torch.nn.Module):
    """Predicts row k of a table, one for each output, for the image whose values are k, k + 70 and k + 140."""

    outputs = ("main", "second")

    def __init__(self, main=P, second=SECOND):
        super().__init__()
        self.anchor, self.seen = torch.nn.Parameter(torch.zeros(())), []
        self.tables = {"main": torch.tensor(main), "second": torch.tensor(second), None: torch.tensor(main)}

    def numbers(self, image):
        assert not torch.is_grad_enabled() and not self.training
        channels = torch.tensor([0, 70, 140])[:, None, None]
        number = (image[:, 0, 0, 0] * 255).round()
        assert image.dtype == torch.float32 and torch.allclose(image * 255, number[:, None, None, None] + channels, atol=1e-4)
        return number.long()

    def predict(self, image, output=None):
        self.seen.append((output, self.numbers(image).tolist()))
        return self.tables[output][self.seen[-1][1]]

    def embed(self, image):
        return torch.nn.functional.one_hot(self.numbers(image), 300).float()


def load_lookup(path, device) -> tuple[Lookup, dict]:
    """Return ``Lookup`` as a checkpoint that is called by its step; from step 20 on it knows nothing."""
    step, facts = int(path), {"task": "classification", "classes": list(ABC)}
    content = {"step": step, "hash": f"hash{step}", "facts": facts, "spec": json.dumps({"recipe": {"patch": [32, 32]}})}
    return Lookup(P if step < 20 else np.full((6, 3), 1 / 3)).eval(), content


def loading(monkeypatch, *modules) -> list:
    """Let checkpoints be steps of ``Lookup`` where modules load them, and return those that were loaded."""
    loaded = []

    def make(path, device):
        method, content = load_lookup(path, device)
        loaded.append(method)
        return method, content

    for module in modules:
        monkeypatch.setattr(module, "load_method", make)
    return loaded
