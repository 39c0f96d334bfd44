"""Splits and budgets: official lists, random folds, nesting, and lists and budgets that cannot be."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from semimed.errors import BadInput
from semimed.splits import budget_count, labelled, make_split, read_split, write_split

ROOT = Path(__file__).resolve().parents[2]
LISTS = ROOT.parent / "shared" / "data" / "LA"
RANDOM = {"source": "random", "folds": 5, "seed": 0, "train": 0.7, "validation": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Case:
    case: str
    group: str
    counts: tuple[int, ...] = (5, 5)


def singles(number):
    return [Case(f"c{index:03d}", f"c{index:03d}") for index in range(number)]


def pairs(groups, rare=()):
    """Two cases per group; a group in ``rare`` has a third class."""
    return [Case(f"g{g:02d}_{frame}", f"g{g:02d}", (9, 9, int(g in rare))) for g in range(groups) for frame in "ab"]


def official(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text("case,subset\n" + "".join(f"{line}\n" for line in text.split()))
    return {"source": "official", "file": str(path)}


def la_list():
    lines = (ROOT / "resources" / "splits" / "la.csv").read_text().split()
    return [tuple(line.split(",")) for line in lines[1:]]


def test_la_list_and_its_labelled_sets():
    cases = [Case(name, name) for name, _ in sorted(la_list())]
    rows = make_split(cases, {"source": "official", "file": str(ROOT / "resources" / "splits" / "la.csv")})
    assert Counter(row.subset for row in rows) == {"train": 80, "test": 20}
    assert [(row.case, row.subset) for row in rows] == la_list()
    assert [row.rank for row in rows] == [*range(80), *range(20)]
    first = ["06SR5RBREL16DQ6M8LWS", "0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "1GU15S0GJ6PFNARO469W"]
    assert labelled(rows, "5%") == labelled(rows, 4) == labelled(rows, "5pct") == first
    assert labelled(rows, 8)[:4] == first and len(labelled(rows, "10%")) == 8 and len(labelled(rows, "20%")) == 16


@pytest.mark.skipif(not LISTS.is_dir(), reason="no real LA lists beside the repository")
@pytest.mark.parametrize("subset", ["train", "test"])
def test_la_list_is_the_distributed_one(subset):
    assert [name for name, where in la_list() if where == subset] == (LISTS / f"{subset}.list").read_text().split()


def test_split_file_round_trip(tmp_path):
    rows = make_split(pairs(10), RANDOM, 2)
    write_split(tmp_path / "fold2.csv", rows)
    assert read_split(tmp_path / "fold2.csv") == rows
    assert (tmp_path / "fold2.csv").read_text().startswith("case,group,subset,rank\n")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "case,group,subset,rank\n1,1,train\n", "case,group,subset,rank\n1,1,x,0\n"])
def test_damaged_split_file(tmp_path, text):
    (tmp_path / "fold0.csv").write_text(text)
    with pytest.raises(BadInput, match=r"fold0\.csv.*delete it"):
        read_split(tmp_path / "fold0.csv")
    with pytest.raises(BadInput, match="no split list"):
        read_split(tmp_path / "fold1.csv")


@pytest.mark.parametrize("groups", [10, 23, 100])
def test_random_folds_test_everything_once_and_split_no_group(groups):
    cases = pairs(groups)
    tested = []
    for fold in range(5):
        rows = make_split(cases, RANDOM, fold)
        assert sorted(row.case for row in rows) == sorted(case.case for case in cases)
        subsets = {row.group: set() for row in rows}
        for row in rows:
            subsets[row.group].add(row.subset)
        assert all(len(found) == 1 for found in subsets.values())
        sizes = Counter(next(iter(found)) for found in subsets.values())
        assert abs(sizes["test"] - 0.2 * groups) < 1 and abs(sizes["validation"] - 0.1 * groups) < 1
        tested += [row.case for row in rows if row.subset == "test"]
    assert sorted(tested) == sorted(case.case for case in cases)


def test_random_split_depends_on_the_seed_only():
    cases = pairs(20)
    assert make_split(cases, RANDOM, 1) == make_split(cases[::-1], RANDOM, 1)
    assert make_split(cases, RANDOM, 1) != make_split(cases, RANDOM | {"seed": 1}, 1)


def test_random_split_spreads_a_rare_class():
    cases = pairs(50, rare=range(10))
    for fold in range(5):
        rows = make_split(cases, RANDOM | {"unit": "group"}, fold)
        rare = {
            subset: {row.group for row in rows if row.subset == subset and row.group < "g10"} for subset in ("test", "train")
        }
        assert 1 <= len(rare["test"]) <= 3 and 6 <= len(rare["train"]) <= 8
        assert any(case < "g10" for case in labelled(rows, "20%"))


def test_unit_group_ranks_and_budgets_groups():
    rows = make_split(pairs(20), RANDOM | {"unit": "group", "version": 2})
    kept = labelled(rows, 3)
    assert len(kept) == 6 and len({case[:3] for case in kept}) == 3
    assert len(labelled(make_split(pairs(20), RANDOM), 3)) == 3


def test_budgets_are_nested():
    rows = make_split(singles(40), RANDOM)
    for small, large in ((1, 2), (2, "10%"), ("10%", "50%"), ("50%", "100%")):
        assert labelled(rows, large)[: len(labelled(rows, small))] == labelled(rows, small)
    assert len(labelled(rows, "100%")) == 28


@pytest.mark.parametrize(
    "budget, units, count",
    [
        (8, 80, 8),
        ("8", 80, 8),
        ("5%", 80, 4),
        ("2.5%", 150, 3),
        ("1%", 50, 1),
        ("7%", 100, 7),
        ("29%", 100, 29),
        ("2%", 1815, 36),
    ],
)
def test_budget_count(budget, units, count):
    assert budget_count(budget, units) == count


@pytest.mark.parametrize("budget", [0, -3, 81, "0%", "101%", "-5%", "abc%", "abc", "", "5 per cent", 0.05, True, None, "nan%"])
def test_bad_budget_names_itself_and_the_units(budget):
    with pytest.raises(BadInput, match=f"budget '{budget}' for 80 training units: give"):
        budget_count(budget, 80)


@pytest.mark.parametrize(
    "text, message",
    [
        ("c000,train c001,test c009,train", r"id c009 of .*list\.csv has no prepared case: add it"),
        ("c000,train c001,test c000,test", r"id c000 stands in both train and test of .*list\.csv"),
        ("c000,train c000,train c001,test", r"id c000 stands twice in .*list\.csv"),
        ("c000,train c001,tset", "unknown subset 'tset' of id c001 .*did you mean 'test'"),
        ("c000,train c001,train", "no test case in"),
        ("c000,test c001", "lines cut short"),
        ("", "are expected; restore it"),
    ],
)
def test_bad_official_list(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        make_split(singles(3), official(tmp_path, text))


def test_official_list_must_not_split_a_group(tmp_path):
    with pytest.raises(BadInput, match="group g00 is split"):
        make_split(pairs(2), official(tmp_path, "g00_a,train g00_b,test"))


def test_official_list_missing_or_with_folds(tmp_path):
    with pytest.raises(BadInput, match="no split list"):
        make_split(singles(3), {"source": "official", "file": str(tmp_path / "none.csv")})
    with pytest.raises(BadInput, match="fold 1 of the official list"):
        make_split(singles(3), official(tmp_path, "c000,train c001,test"), 1)


def test_cases_in_no_list_are_counted_in_the_log(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="semimed"):
        rows = make_split(singles(5), official(tmp_path, "c003,train c001,test"))
    assert [row.case for row in rows] == ["c003", "c001"] and "3 of 5 prepared cases" in caplog.text


@pytest.mark.parametrize(
    "change, fold, message",
    [
        ({"source": "randm"}, 0, "did you mean 'random'"),
        ({"sed": 1}, 0, "did you mean 'seed'"),
        ({"unit": "slice"}, 0, "give case or group"),
        ({"train": 0.8}, 0, "must add up to 1"),
        ({"train": "most"}, 0, "give three numbers"),
        ({"folds": 6}, 0, "would overlap"),
        ({"folds": 0}, 0, "folds 0"),
        ({}, 5, "fold 5 of 5"),
        ({"train": 0.795, "validation": 0.005}, 0, "no group left for validation among 10"),
    ],
)
def test_bad_random_options(change, fold, message):
    with pytest.raises(BadInput, match=message):
        make_split(singles(10), RANDOM | change, fold)


def test_numbers_instead_of_shares():
    """1815 + 779 is what UCMT says of ISIC's 2594 images; no share gives both."""
    options = {**RANDOM, "folds": 1, "train": 17, "validation": 1, "test": 8}
    rows = make_split(singles(26), options)
    assert Counter(row.subset for row in rows) == {"train": 17, "validation": 1, "test": 8}
    with pytest.raises(BadInput, match="17, 1, 8 in the split options add up to 26, but there are 27: give numbers of all"):
        make_split(singles(27), options)


def test_cases_may_be_drawn_without_regard_to_groups():
    rows = make_split(pairs(20), {**RANDOM, "by": "case"})
    subsets = {group: {row.subset for row in rows if row.group == group} for group in {row.group for row in rows}}
    assert len(rows) == 40 and any(len(where) > 1 for where in subsets.values())
    with pytest.raises(BadInput, match="unknown by 'frame'"):
        make_split(pairs(20), {**RANDOM, "by": "frame"})


def test_missing_option():
    with pytest.raises(BadInput, match="no seed in the random split options"):
        make_split(singles(10), {key: value for key, value in RANDOM.items() if key != "seed"})
