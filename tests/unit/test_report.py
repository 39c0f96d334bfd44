"""The report: one page that holds everything, loads nothing and escapes what it prints."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from semimed.errors import BadInput
from semimed.reporting.figures import draw_figure
from semimed.reporting.page import write_report
from synthetic_results import make_plan, write_run


@pytest.fixture
def study(tmp_path):
    study = make_plan(tmp_path / "results", "cml-la").study("cml-la")
    for run in study.select(["cml", "cps"], 8):
        write_run(study, run, 0.9 if run.arm.name == "cml" else 0.87, peak_memory_mb=2048.0, device="H<200>")
    return study


def test_the_page_holds_tables_figures_costs_and_warnings(study, tmp_path):
    draw_figure(study, "ladder", tmp_path / "ladder.png", tmp_path / "ladder.pdf")
    write_report([study], {"cml-la": [str(tmp_path / "ladder.png")]}, tmp_path / "r.html", "A & B")
    text = (tmp_path / "r.html").read_text()
    assert "<title>A &amp; B</title>" in text and "H&lt;200&gt;" in text and "H<200>" not in text
    assert '<td class="best">90.00 ± 0.00</td><td class="published">90.36</td>' in text
    assert '<td class="second">87.00 ± 0.00</td>' in text
    assert "<figcaption>From CPS over CFL to CML at 8 labels (CML Fig. 6).</figcaption>" in text
    assert "2.0 GiB" in text and "1.0 h" in text and "17,000" in text
    assert "runs missing (not there)" in text
    assert "4, 8, 16 labelled of the training set" in text and "vnet, width 16" in text


def test_the_page_loads_nothing_and_is_well_formed(study, tmp_path):
    write_report([study], {}, tmp_path / "r.html", "Title")
    text = (tmp_path / "r.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text) and "<script" not in text and "@import" not in text
    open_tags = []

    class Check(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Check().feed(text)
    assert not open_tags


def test_a_missing_figure_ends_in_one_line(study, tmp_path):
    with pytest.raises(BadInput, match=r"no figure .*ladder\.png for the report"):
        write_report([study], {"cml-la": [str(tmp_path / "ladder.png")]}, tmp_path / "r.html", "Title")
    assert not (tmp_path / "r.html").exists()


def test_synthetic_scans_are_called_so(study, tmp_path):
    source = Path(study.data).with_name("source.json")
    for phantom, words in ((True, "synthetic scans in the raw layout of"), (False, "Medical Image Analysis")):
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(json.dumps({"phantom": phantom}))
        write_report([study], {}, tmp_path / "report.html", "Title")
        assert words in (tmp_path / "report.html").read_text()


def test_pictures_that_were_left_out_are_counted(study, tmp_path):
    write_report([study], {}, tmp_path / "report.html", "Title")
    assert "left out" not in (tmp_path / "report.html").read_text()
    (Path(study.data) / "skipped.csv").write_text("case,reason\nTUM-1,damaged\nTUM-2,damaged\n")
    write_report([study], {}, tmp_path / "report.html", "Title")
    assert "2 pictures could not be used and were left out, the first TUM-1" in (tmp_path / "report.html").read_text()
