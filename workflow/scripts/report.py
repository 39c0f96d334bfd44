"""Rule report: tables, figures, cost and warnings on one page."""

from pathlib import Path

from semimed.jobs import job
from semimed.plan import Plan
from semimed.reporting.page import write_report

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    figures = {study: [] for study in plan.studies}
    for path in map(Path, snakemake.input.figures):
        figures[path.parent.name].append(path)
    write_report(list(plan.studies.values()), figures, snakemake.output[0], "Semimed")
