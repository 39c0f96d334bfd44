"""Made-up results of two-dimensional studies: slices of volumes with three classes, and photographs with one."""

from pathlib import Path

import numpy as np
import yaml
from semimed.plan import Plan
from synthetic_results import CASES, hash_of, write_prepared, write_split

DATASET = {"title": "", "licence": "", "citation": "", "by_hand": "", "preparations": {"full": {"version": 1}}, "phantom": {}}
CLASSES = {"slices": ("right ventricle", "myocardium", "left ventricle"), "whole": ("lesion",)}
STEPS = [15, 30, 45, 60]


def make_flat_study(folder, kind: str):
    """Return a study whose cases are inferred as ``slices`` or ``whole``, with its prepared cases and split in ``folder``."""
    name = {"slices": "acdc", "whole": "kvasir-seg"}[kind]
    study = {
        "title": "Flat",
        "dataset": name,
        "preparation": "full",
        "split": {"source": "random", "folds": 1, "seed": 0, "train": 0.7, "validation": 0, "test": 0.3},
        "backbone": {"name": "unet"},
        "recipe": {
            "steps": 60,
            "labelled": 2,
            "unlabelled": 2,
            "sample": {"slices": "slice", "whole": "image"}[kind],
            "patch": [64, 64],
            "augment": "turn-or-tilt",
            "optimiser": {"name": "sgd", "lr": 0.01},
            "schedule": {"name": "constant"},
            "keep": 4,
        },
        "inference": {"kind": kind},
        "budgets": ["5%"],
        "metrics": {"dice": None},
        "own": "ucmt",
        "arms": {"mt": {"label": "MT", "method": "mt"}, "ucmt": {"label": "UCMT", "method": "ucmt"}},
        "tables": {"comparison": {"title": "C", "rows": {"mt": None, "ucmt": None}}},
        "figures": {
            figure: {"kind": figure, "caption": "c", "budget": "5%", "arms": ["mt", "ucmt"], "cases": 2}
            for figure in ("overlays", "illustrations", "tsne")
        },
    }
    for part, file, document in (("studies", "flat", study), ("datasets", name, DATASET)):
        path = Path(folder, "config", part, f"{file}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
    config = {"studies": ["flat"], "seeds": [0, 1], "results": f"{folder}/results", "raw": {name: "phantom"}}
    study = Plan(config, root=Path(folder)).study("flat")
    write_prepared(study.data, {case: _case(number, kind) for number, case in enumerate(CASES)})
    write_split(study.split(0), CASES)
    return study


def _case(number: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a case: rings of three classes in slice after slice, or a lesion in a photograph; each a little further right."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices((60, 80))
    distance = np.hypot(rows - 32, columns - 34 - 2 * number)
    if kind == "whole":
        label = (distance < 18).astype(np.uint8)
        skin = np.array([225, 180, 160])[:, None, None] - np.array([90, 100, 90])[:, None, None] * label
        return np.clip(skin + rng.normal(0, 8, (3, 60, 80)), 0, 255).astype(np.uint8), label
    # The third slice is the largest.
    radii = [(8, 5), (12, 7), (16, 9), (10, 6)]
    label = np.stack([np.where(distance < inner, 3, np.where(distance < outer, 2, 0)) for outer, inner in radii]).astype(
        np.uint8
    )
    label[:3, 20:46, 4 + 2 * number : 15 + 2 * number] = 1
    image = 0.2 + np.array([0, 0.5, 0.15, 0.6])[label] + rng.normal(0, 0.04, label.shape)
    return image[None].clip(0, 1).astype(np.float32), label


def write_illustrations(study, run, shape=(64, 64)) -> None:
    """Write pictures of three cases early and late: an uncertainty of 0.6 and 0.2 nats in a square, and a mixed image."""
    rng = np.random.default_rng(0)
    maps = np.zeros((2, 3, *shape), np.float32)
    maps[0, :, 16:40, 16:40], maps[1, :, 20:32, 20:32] = 0.6, 0.2
    image = rng.random((3, 3, *shape), np.float32)
    label = np.zeros((3, *shape), np.uint8)
    label[:, 20:40, 20:40] = 1
    pictures = {"map:uncertainty": maps, "map:mixed image": np.stack([image, image])}
    arrays = {"image": image, "label": label, "cases": np.array([CASES[0], CASES[3], CASES[7]]), "steps": np.array([15, 60])}
    np.savez_compressed(run.illustrations, made_by=np.array(hash_of(run)), **arrays, **pictures)


def write_embeddings(study, run) -> None:
    """Write vectors of patches whose classes part as training goes on."""
    rng, names = np.random.default_rng(0), ["background", *CLASSES[study.document["inference"]["kind"]]]
    kinds = np.repeat(np.arange(len(names)), 20)
    centres = rng.normal(0, 1, (len(names), 16))
    vectors = np.stack([step / 15 * centres[kinds] + rng.normal(0, 0.5, (len(kinds), 16)) for step in STEPS])
    arrays = {"vectors": vectors.astype(np.float16), "class": kinds.astype(np.uint8), "case": np.array(["CASE00"] * len(kinds))}
    arrays |= {"steps": np.array(STEPS), "classes": np.array(names), "made_by": np.array(hash_of(run))}
    np.savez_compressed(run.embeddings, **arrays)
