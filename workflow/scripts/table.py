"""Rule table: one study's table in three formats."""

from semimed.jobs import job
from semimed.plan import Plan
from semimed.reporting import tables

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    study = plan.study(snakemake.wildcards.study)
    rows = tables.collect(study)
    tables.write_csv(study, rows, snakemake.output.csv)
    tables.write_markdown(study, rows, snakemake.output.md)
    tables.write_latex(study, rows, snakemake.output.tex)
