"""Tables as files: what stands in the CSV, Markdown and LaTeX, and that the LaTeX compiles."""

import csv
import dataclasses
import re
import shutil
import subprocess

import pytest
from semimed.reporting import tables
from semimed.reporting.latex import escape
from semimed.reporting.table_layout import p_text
from synthetic_results import labelled_8, make_plan

DICE = {"supervised": 0.80, "cps": 0.87, "cfl": 0.88, "cml": 0.90}


@pytest.fixture
def cml(tmp_path):
    return labelled_8(tmp_path / "results", DICE)


def relabelled(study, arm, **changes):
    arms = {**study.arms, arm: dataclasses.replace(study.arms[arm], **changes)}
    return dataclasses.replace(study, arms=arms)


def test_csv_holds_full_precision_and_empty_cells(cml, tmp_path):
    tables.write_csv(cml, tables.collect(cml), tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as handle:
        lines = {(line["section"], line["budget"], line["arm"]): line for line in csv.DictReader(handle)}
    line = lines["comparison", "8", "cml"]
    assert float(line["dice_mean"]) == pytest.approx(90) and line["dice_published"] == "90.36" and line["n"] == "3"
    assert lines["comparison", "4", "cml"]["dice_mean"] == "" and lines["comparison", "4", "cml"]["missing"] == "3"


def test_markdown_marks_and_escapes(cml, tmp_path):
    nasty = relabelled(cml, "cml", label="a|b *c* <d>", reinterpretation=True)
    tables.write_markdown(nasty, tables.collect(nasty), tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text()
    assert text == tables.draw(nasty)
    assert r"a\|b \*c\* \<d\> †" in text and "a re-interpretation" in text
    assert "**90.00 ± 1.00**" in text and "<u>88.00 ± 1.00</u>" in text and "*90.36*" in text
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert set(widths[:10]) == {15}


def test_p_values_as_printed():
    assert [p_text(p) for p in (None, 0.0004, 0.0316, 1.0)] == ["", "<0.001", "0.032", "1.000"]


def test_latex_escapes_every_special_character():
    assert escape("50% & $x_1$ #{~^} \\") == (r"50\% \& \$x\_1\$ \#\{\textasciitilde{}\textasciicircum{}\} \textbackslash{}")
    assert escape("λ1 ± 2 ↑ é Ω Α 中") == r"$\lambda$1 $\pm$ 2 $\uparrow$ é $\Omega$ A [U+4E2D]"


def test_latex_marks(cml, tmp_path):
    tables.write_latex(cml, tables.collect(cml), tmp_path / "t.tex")
    text = (tmp_path / "t.tex").read_text()
    assert r"\textbf{90.00 $\pm$ 1.00} & \textcolor{black!55}{\textit{90.36}}" in text
    assert r"\underline{88.00 $\pm$ 1.00}" in text
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 3


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_all_tables_compile(cml, tmp_path):
    every = "".join(map(chr, range(32, 127))) + "äßλΩΑ±–—→†中𝔸 -- ``''"
    demo = make_plan(tmp_path / "demo", "demo-la").study("demo-la")
    tables.write_all([relabelled(cml, "cml", label=every, reinterpretation=True), demo], tmp_path / "all.tex")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
