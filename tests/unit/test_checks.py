"""Figures that lack what their kind needs end in one line when the workflow is planned."""

import dataclasses

import pytest
from flat_results import make_flat_study
from semimed.checks import check_figures, check_tables
from semimed.errors import BadInput
from synthetic_results import make_plan

COMMON = {"caption": "c", "metric": "dice", "cases": 3, "patch": 32, "together": False}


@pytest.fixture
def check(tmp_path):
    """Return a check of figures of CML's study, or of a two-dimensional one."""

    def run(*figures, flat=False):
        study = make_flat_study(tmp_path, "slices") if flat else make_plan(tmp_path, "cml-la").study("cml-la")
        document = {**study.document, "figures": {f"f{n}": COMMON | figure for n, figure in enumerate(figures)}}
        check_figures(document, "segmentation", study.arms, "s.yaml")

    return run


GRID = {"kind": "heatmap", "budget": 8, "rows_title": "r", "columns_title": "k", "grid": {"1": {"2": "cml"}}}


def test_figures_with_all_they_need_pass(check):
    check({"kind": "budgets", "arms": ["cml", "mt"]}, GRID, {"kind": "agreement", "budget": 8, "arms": ["cml"]})
    check(
        {"kind": "tsne", "budget": "5%", "arms": ["mt"]}, {"kind": "illustrations", "budget": "5%", "arms": ["mt"]}, flat=True
    )


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ({"kind": "bars", "arms": ["cml"]}, "no budget; a figure of kind 'bars' needs arms, budget"),
        ({"kind": "sensitivity", "arms": ["cml"], "budget": 8}, "no series; a figure of kind 'sensitivity' needs"),
        ({**GRID, "grid": {}}, "no grid; a figure of kind 'heatmap' needs"),
        ({**GRID, "grid": {"1": {"2": "cmll"}}}, "no arm 'cmll'; did you mean 'cml'"),
        (
            {"kind": "budgets", "arms": ["cml"], "budget": 8},
            "budget: a figure of kind 'budgets' shows all budgets of its arms; remove the key",
        ),
        ({"kind": "agreement", "arms": ["ua-mt"], "budget": 8}, "arm 'ua-mt' keeps no checkpoints; set recipe.keep"),
        ({"kind": "tsne", "arms": ["cml"], "budget": 8}, "kind 'tsne' is for two-dimensional samples, recipe.patch is"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(check, figure, words):
    with pytest.raises(BadInput) as caught:
        check(figure)
    assert f"s.yaml: figures.f0: {words}" in str(caught.value) and "\n" not in str(caught.value)


def test_patches_of_embeddings_fit_the_image(check):
    figure = {"kind": "tsne", "budget": "5%", "arms": ["mt"]}
    with pytest.raises(BadInput, match=r"patch 80 is larger than recipe\.patch \[64, 64\]"):
        check({**figure, "patch": 80}, flat=True)


def test_patches_of_embeddings_have_one_size(check):
    figure = {"kind": "tsne", "budget": "5%", "arms": ["mt"]}
    with pytest.raises(BadInput, match="patch 16, 32: all of kind 'tsne' must have the same"):
        check(figure, {**figure, "patch": 16}, flat=True)


def test_numbers_and_shares_have_no_common_axis(tmp_path):
    study = make_plan(tmp_path, "cml-la").study("cml-la")
    study.arms["mt"] = dataclasses.replace(study.arms["mt"], budgets=("5%", "10%"))
    document = {**study.document, "figures": {"f": {**COMMON, "kind": "budgets", "arms": ["cml", "mt"]}}}
    with pytest.raises(BadInput, match="numbers and shares as budgets, which have no common axis"):
        check_figures(document, "segmentation", study.arms, "s.yaml")


def test_a_table_of_an_unknown_arm(tmp_path):
    study = make_plan(tmp_path, "cml-la").study("cml-la")
    with pytest.raises(BadInput, match=r"s\.yaml: tables\.t: no arm 'cmll'; did you mean 'cml'"):
        check_tables({"tables": {"t": {"rows": {"cmll": None}}}}, study.arms, "s.yaml")


def test_what_rules_need_is_the_most_that_figures_show(tmp_path):
    study = make_flat_study(tmp_path, "slices")
    figures = study.document["figures"]
    assert study.illustrated_cases == 2 and study.embedded_patch == 32
    figures["more"] = {**figures["illustrations"], "cases": 5}
    figures["tsne"]["patch"] = 16
    assert study.illustrated_cases == 5 and study.embedded_patch == 16
