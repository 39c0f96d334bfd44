"""Splits of images of one class each: orders of the training cases, lesions on one side, budgets of them."""

import csv
import hashlib
import lzma
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from semimed.errors import BadInput
from semimed.splits import check_classes, check_groups, labelled, make_split

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
COUNTS = (1113, 6705, 514, 327, 1099, 115, 142)  # ISIC 2018 Task 3
METADATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "HAM10000" / "HAM10000_metadata.csv.xz"
RANDOM = {"source": "random", "folds": 5, "seed": 0, "train": 0.7, "validation": 0.1, "test": 0.2}
ORDERS = ("stratified", "balanced", "random")


@dataclass(frozen=True)
class Case:
    case: str
    group: str
    counts: tuple[int, ...]


def one_hot(index, classes=7):
    return tuple(int(index == other) for other in range(classes))


def singles(*counts):
    """Cases without groups, as many of each class as given."""
    return [
        Case(f"{k}-{i:05d}", f"{k}-{i:05d}", one_hot(k, len(counts))) for k, number in enumerate(counts) for i in range(number)
    ]


def isic():
    """As many images as ISIC 2018 has of each class, in lesions of one to six, small ones being common as in HAM10000."""
    rng, cases, lesion = np.random.default_rng(0), [], 0
    for index, count in enumerate(COUNTS):
        while count:
            size = min(count, int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.74, 0.19, 0.06, 0.005, 0.003, 0.002])))
            cases += [Case(f"I{len(cases) + i:05d}", f"L{lesion:05d}", one_hot(index)) for i in range(size)]
            count, lesion = count - size, lesion + 1
    return cases


def ham10000():
    with lzma.open(METADATA, "rt", encoding="utf-8", newline="") as handle:
        records = list(csv.DictReader(handle))
    return [Case(r["image_id"], r["lesion_id"], one_hot(CLASSES.index(r["dx"].upper()))) for r in records]


REAL = pytest.param("real", marks=pytest.mark.skipif(not METADATA.is_file(), reason="no HAM10000 beside the repository"))


@pytest.fixture(scope="module", params=["made up", REAL])
def images(request):
    return isic() if request.param == "made up" else ham10000()


def split(cases, order=None, fold=0, **options):
    return make_split(cases, RANDOM | ({"order": order} if order else {}) | options, fold)


def train_classes(rows, cases):
    """The class of every training case in rank order."""
    class_in = {case.case: case.counts.index(1) for case in cases}
    return [class_in[row.case] for row in rows if row.subset == "train"]


def largest_remainder(counts, total):
    quotas = total * np.array(counts) / sum(counts)
    whole = np.floor(quotas).astype(int)
    whole[np.argsort(whole - quotas, kind="stable")[: total - whole.sum()]] += 1
    return whole


def digest(rows):
    return hashlib.sha256(repr([(row.case, row.group, row.subset, row.rank) for row in rows]).encode()).hexdigest()[:16]


# ---- what must stay as it is: runs were trained on it ----


def mixed(groups, rare):
    return [Case(f"g{g:02d}_{frame}", f"g{g:02d}", (9, 9, int(g in rare))) for g in range(groups) for frame in "ab"]


@pytest.mark.parametrize(
    ("groups", "rare", "change", "fold", "expected"),
    [
        (23, range(6), {}, 1, "ce842e59aaa10168"),
        (23, range(6), {"by": "case"}, 3, "72fb6d029c491883"),
        (20, range(4), {"unit": "group", "seed": 7}, 4, "b77944c1546bfb88"),
    ],
)
def test_splits_without_an_order_are_those_of_old(groups, rare, change, fold, expected):
    assert digest(split(mixed(groups, rare), fold=fold, **change)) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [("stratified", "35086392fd5ca9c8"), ("balanced", "31b8285e8974254c"), ("random", "8ac3c2d53a11b966")],
)
def test_orders_are_pinned(order, expected):
    assert digest(split(singles(30, 12, 8), order, fold=2)) == expected


# ---- ISIC 2018 ----


def test_folds_by_lesion(images):
    tested = []
    for fold in range(5):
        rows = split(images, "stratified", fold, by="group")
        assert sorted(row.case for row in rows) == sorted(case.case for case in images)
        check_groups(rows)
        sizes = Counter(row.subset for row in rows)
        # a lesion has up to six images, so no cut is further than three from where it should be
        assert abs(sizes["test"] - 2003) <= 6 and abs(sizes["validation"] - 1001.5) <= 6
        here = [row.case for row in rows if row.subset == "test"]
        classes = Counter(case.counts.index(1) for case in images if case.case in set(here))
        assert all(abs(classes[index] - 0.2 * count) <= 12 for index, count in enumerate(COUNTS))
        tested += here
    assert sorted(tested) == sorted(case.case for case in images)


def test_folds_by_image(images):
    tested = []
    for fold in range(5):
        rows = split(images, "stratified", fold, by="case")
        sizes = Counter(row.subset for row in rows)
        assert abs(sizes["train"] - 7010) <= 3 and abs(sizes["validation"] - 1002) <= 2 and sizes["test"] == 2003
        here = [row.case for row in rows if row.subset == "test"]
        classes = Counter(case.counts.index(1) for case in images if case.case in set(here))
        assert all(abs(classes[index] - 0.2 * count) <= 1 for index, count in enumerate(COUNTS))
        tested += here
    assert sorted(tested) == sorted(case.case for case in images)
    with pytest.raises(BadInput, match="on both sides"):
        check_groups(rows)


@pytest.mark.parametrize("by", ["case", "group"])
def test_stratified_budgets_hold_the_class_shares(images, by):
    rows = split(images, "stratified", 1, by=by)
    train = train_classes(rows, images)
    shares = np.bincount(train)
    for budget, count in (("5%", 350), ("20%", 1402)):
        check_classes(rows, budget, images, CLASSES)
        kept = np.bincount(train[: len(labelled(rows, budget))], minlength=7)
        assert kept.sum() == count and np.abs(kept - largest_remainder(shares, count)).max() <= 1
    assert sorted(train[:7]) == list(range(7))


def test_a_draw_of_cases_pays_no_heed_to_lesions(images):
    rows = split(images, "random", by="group")
    ranks = {}
    for row in rows:
        if row.subset == "train":
            ranks.setdefault(row.group, []).append(row.rank)
    neighbours = [b - a for found in ranks.values() for a, b in zip(sorted(found), sorted(found)[1:], strict=False)]
    assert np.mean(neighbours) > 500


# ---- the orders ----


def test_every_stratified_prefix_is_close_to_the_shares():
    cases = singles(500, 200, 100, 40)
    train = np.array(train_classes(split(cases, "stratified"), cases))
    given = np.cumsum(np.eye(4, dtype=int)[train], axis=0)
    quotas = np.arange(1, len(train) + 1)[:, None] * given[-1] / len(train)
    assert train[:4].tolist() == [0, 1, 2, 3]
    # the early places of the rare class must be made up for first: after 1 / 0.05 cases it has its one by right
    assert np.abs(given - quotas)[20:].max() < 1.1


def test_balanced_prefixes_hold_equal_numbers_as_long_as_they_last():
    cases = singles(50, 20, 10)  # 35, 14, 7 of them for training
    train = train_classes(split(cases, "balanced"), cases)
    assert train[:21] == [0, 1, 2] * 7 and train[21:35] == [0, 1] * 7 and train[35:] == [0] * 21


def test_random_is_a_plain_draw():
    cases = singles(1800, 200)  # 1260 and 140 of them for training
    heads = [sum(train_classes(split(cases, "random", seed=seed), cases)[:300]) for seed in range(12)]
    # hypergeometric: 30 +- 4.6 of the rare class among the first 300; a spread order would give 30 +- 1
    assert abs(np.mean(heads) - 30) < 6 and np.std(heads) > 2


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_changes_the_ranks_only_and_budgets_are_nested(order):
    cases = singles(60, 30, 20)
    rows, plain = split(cases, order, 3, by="case"), split(cases, None, 3, by="case")
    assert sorted((row.case, row.subset) for row in rows) == sorted((row.case, row.subset) for row in plain)
    assert [row for row in rows if row.subset != "train"] == [row for row in plain if row.subset != "train"]
    train = [row for row in rows if row.subset == "train"]
    assert [row.rank for row in train] == list(range(77))
    assert labelled(rows, 40)[:10] == labelled(rows, 10) == [row.case for row in train[:10]]


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_depends_on_seed_and_fold_only(order):
    cases = singles(60, 30, 20)
    assert split(cases, order, 1) == split(cases[::-1], order, 1)
    kept = [set(labelled(split(cases, order, 1, seed=seed), 15)) for seed in range(3)]
    assert kept[0] != kept[1] != kept[2]


def test_a_class_without_training_cases_takes_no_place():
    cases = singles(30, 0, 10)
    for order in ("stratified", "balanced"):
        assert set(train_classes(split(cases, order), cases)[:2]) == {0, 2}


def test_numbers_count_cases_when_groups_are_weighed():
    cases = [replace(case, group=case.case[:-1]) for case in singles(100, 100)]  # groups of ten
    rows = split(cases, "stratified", folds=1, train=140, validation=20, test=40)
    assert Counter(row.subset for row in rows) == {"train": 140, "validation": 20, "test": 40}


@pytest.mark.parametrize(
    ("cases", "change", "message"),
    [
        (singles(20, 20), {"order": "stratfied"}, "unknown order 'stratfied'.*did you mean 'stratified'"),
        (singles(20, 20), {"order": "random", "unit": "group"}, "order random with unit group in the split options: give unit"),
        (mixed(20, ()), {"order": "random"}, r"counts \(9, 9, 0\) of case g.* in a split by class"),
        ([replace(case, counts=(1, 1)) for case in singles(40)], {"order": "balanced"}, "only cases of one class"),
        (
            [replace(case, counts=()) for case in singles(40)],
            {"order": "stratified"},
            "none of the 40 prepared cases",
        ),
    ],
)
def test_bad_orders(cases, change, message):
    with pytest.raises(BadInput, match=message):
        make_split(cases, RANDOM | change)


def test_an_official_list_has_its_own_order():
    with pytest.raises(BadInput, match="unknown key 'order' in the official split options"):
        make_split(singles(5), {"source": "official", "file": "list.csv", "order": "random"})
