"""What is checked of a split that was read back: a labelled case of every class, no group on two sides."""

from dataclasses import dataclass, replace

import pytest
from semimed.errors import BadInput
from semimed.splits import check_groups, check_labelled, make_split

STRATIFIED = {"source": "random", "folds": 5, "seed": 0, "train": 0.7, "validation": 0.1, "test": 0.2, "order": "stratified"}


@dataclass(frozen=True)
class Case:
    case: str
    group: str
    counts: tuple[int, ...]


def singles(*counts):
    """Cases without groups, as many of each class as given."""
    hot = [tuple(int(k == other) for other in range(len(counts))) for k in range(len(counts))]
    return [Case(f"{k}-{i:05d}", f"{k}-{i:05d}", hot[k]) for k, number in enumerate(counts) for i in range(number)]


def test_a_class_without_a_labelled_case_is_named():
    cases = singles(200, 20, 10)
    rows = make_split(cases, STRATIFIED)
    check_labelled(rows, 3, cases, "abc")
    with pytest.raises(BadInput, match=r"class c with no labelled case at the budget 2 in the split: raise.* at least 3 cases"):
        check_labelled(rows, 2, cases, "abc")
    with pytest.raises(BadInput, match="class d with no training case in the split"):
        check_labelled(rows, 3, cases, "abcd")


def test_unlabelled_and_test_cases_do_not_count_as_labelled():
    cases = singles(2, 2)
    rows = make_split(cases, STRATIFIED | {"folds": 1, "train": 2, "validation": 0, "test": 2})
    check_labelled(rows, 2, cases, "ab")
    swapped = [replace(row, subset="test" if row.case.startswith("1") else "train") for row in rows]
    with pytest.raises(BadInput, match="class b with no training case"):
        check_labelled(swapped, 2, cases, "ab")


def test_a_group_on_both_sides_is_named():
    rows = make_split([replace(case, group=case.case[:-1]) for case in singles(100)], STRATIFIED)
    check_groups(rows)
    rows[-1] = replace(rows[-1], group=rows[0].group)
    with pytest.raises(
        BadInput, match=rf"group {rows[0].group} on both sides \(train and test\) in the split: delete the file"
    ):
        check_groups(rows)
