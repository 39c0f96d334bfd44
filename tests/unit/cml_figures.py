"""CML's study with made-up results and a figure of every kind, and how tests draw one."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from synthetic_results import CASES, make_plan, write_curve, write_predictions, write_run


def cml_study(folder):
    """Return CML's study with every run of the figures' budget; Dice rises with the seed and with the case's number."""
    study = with_more_figures(make_plan(folder, "cml-la").study("cml-la"))
    for run in study.select(budget=8):
        fill(study, run)
    return study


def with_more_figures(study):
    """Give CML's study a figure of every kind that it has none of."""
    common = {"caption": "c", "budget": 8, "metric": "dice", "cases": 2, "patch": 32, "together": False}
    grid = {"one": {"a": "cml-sup", "b": "cml-sup-dis"}, "two": {"a": "cml-sup-u", "b": "cml"}}
    study.document["figures"] |= {
        "agreement": {**common, "kind": "agreement", "arms": ["supervised", "mt", "cml"]},
        "together": {**common, "kind": "curves", "arms": ["mt", "cml"], "together": True},
        "budgets": {**common, "kind": "budgets", "arms": ["supervised", "mt", "cml"]},
        "heatmap": {**common, "kind": "heatmap", "grid": grid, "rows_title": "Rows", "columns_title": "Columns"},
        "illustrations": {**common, "kind": "illustrations", "arms": ["mt", "cml"]},
        "tsne": {**common, "kind": "tsne", "arms": ["mt", "cml"]},
    }
    del study.document["figures"]["budgets"]["budget"]
    return study


def fill(study, run, **more):
    write_run(study, run, 0.8 + 0.01 * run.seed + np.arange(len(CASES)) / 100, **more)
    if run.kept:
        write_curve(
            study, run, lambda step, output: 0.5 + 0.4 * step / run.kept[-1] - 0.1 * run.arm.entry.outputs.index(output)
        )
    write_predictions(study, run)


def drawn(kind, study, options) -> tuple[Figure, str]:
    figure = Figure(layout="constrained")
    kind.draw(figure, study, options)
    return figure, "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def options_of(study, kind) -> dict:
    return next(options for options in study.document["figures"].values() if options["kind"] == kind)
