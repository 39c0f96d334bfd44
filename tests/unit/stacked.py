"""Small phantoms of a classification set, prepared into one file, for tests."""

from semimed.datasets.isic2018_cls import IMAGES, ISIC2018Cls
from semimed.prepare import prepare
from semimed.store import read_cases

FACTS = {"phantom": {"cases": 40, "shape": [16, 20], "seed": 3}, "licence": "", "citation": "", "by_hand": "ask"}
OPTIONS = {"version": 1, "size": [12, 14]}


def run(source, out, workers=2, **options):
    prepare(ISIC2018Cls(), source, OPTIONS | options, out, workers)
    return read_cases(out)


def files(folder):
    """Return what others may read: not what an unfinished job keeps for itself."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "work"}


def damage(source, *numbers):
    for number in numbers:
        file = source.parent / "raw" / IMAGES / f"ISIC_{number:07d}.jpg"
        file.write_bytes(file.read_bytes()[:300])
