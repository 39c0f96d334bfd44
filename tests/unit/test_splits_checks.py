"""What is checked of a split that was read back: a labelled case of every class, no group on two sides."""

from dataclasses import dataclass, replace

import pytest
from semimed.errors import BadInput
from semimed.splits import check_classes, check_groups, labelled, make_split, read_split, write_split

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
    check_classes(rows, 3, cases, "abc")
    with pytest.raises(BadInput, match=r"class c with no labelled case at the budget 2 in the split: raise.* at least 3 cases"):
        check_classes(rows, 2, cases, "abc")
    with pytest.raises(BadInput, match="class d with no training case in the split"):
        check_classes(rows, 3, cases, "abcd")


def test_unlabelled_and_test_cases_do_not_count_as_labelled():
    cases = singles(2, 2)
    rows = make_split(cases, STRATIFIED | {"folds": 1, "train": 2, "validation": 0, "test": 2})
    check_classes(rows, 2, cases, "ab")
    swapped = [replace(row, subset="test" if row.case.startswith("1") else "train") for row in rows]
    with pytest.raises(BadInput, match="class b with no training case"):
        check_classes(swapped, 2, cases, "ab")


def test_a_group_on_both_sides_is_named():
    rows = make_split([replace(case, group=case.case[:-1]) for case in singles(100)], STRATIFIED)
    check_groups(rows)
    rows[-1] = replace(rows[-1], group=rows[0].group)
    with pytest.raises(
        BadInput, match=rf"group {rows[0].group} on both sides \(train and test\) in the split: delete the file"
    ):
        check_groups(rows)


def bare(*names, group=None):
    """Cases without annotation."""
    return [Case(name, group or name, ()) for name in names]


@pytest.mark.parametrize("options", [{}, {"unit": "group"}, {"order": "stratified"}])
def test_cases_without_annotation_only_train_and_behind_all_others(options):
    annotated = singles(20, 20)
    given = {key: value for key, value in STRATIFIED.items() if key != "order"} | options
    before = make_split(annotated, given)
    tested, trained = (next(row for row in before if row.subset == subset) for subset in ("test", "train"))
    extra = bare("new1", "new2") + bare("of-tested", group=tested.group) + bare("of-trained", group=trained.group)
    rows = make_split(extra + annotated, given)
    assert [row for row in rows if row.case in {case.case for case in annotated}] == before
    added = [row for row in rows if row not in before]
    assert {row.subset for row in added} == {"train"} and [row.case for row in added] == ["new1", "new2", "of-trained"]
    assert {row.rank for row in added} == {None}


def test_a_budget_is_of_the_cases_that_have_an_annotation(tmp_path):
    cases = singles(6, 6) + bare("new1", "new2")
    write_split(tmp_path / "split.csv", make_split(cases, STRATIFIED | {"folds": 1, "train": 8, "validation": 0, "test": 4}))
    rows = read_split(tmp_path / "split.csv")
    assert len([row for row in rows if row.subset == "train"]) == 10 and rows[-5].rank is None
    assert len(labelled(rows, "100%")) == 8 and len(labelled(rows, "50%")) == 4
    check_classes(rows, 8, cases, "ab")
    with pytest.raises(BadInput, match=r"budget '9' for 8 training units: give 1 to 8"):
        labelled(rows, 9)


def test_an_official_list_puts_cases_without_annotation_into_train_only(tmp_path):
    file = tmp_path / "list.csv"
    cases = singles(4) + bare("new1")
    lines = [f"{case.case},{'test' if number == 3 else 'train'}" for number, case in enumerate(cases)]
    file.write_text("\n".join(["case,subset", lines[4], *lines[:4], ""]))
    rows = make_split(cases, {"source": "official", "file": str(file)})
    assert [row.case for row in rows if row.subset == "train"] == [*(case.case for case in cases[:3]), "new1"]
    file.write_text("\n".join(["case,subset", *lines[:4], "new1,test", ""]))
    with pytest.raises(BadInput, match=r"id new1 has no annotation, but .*list\.csv has it in test: put it into train"):
        make_split(cases, {"source": "official", "file": str(file)})
