"""Rule all_tables: every table in one LaTeX document."""

from semimed.jobs import job
from semimed.plan import Plan
from semimed.reporting import tables

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    tables.write_all(list(plan.studies.values()), snakemake.output[0])
