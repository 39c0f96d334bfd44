"""Rule prepare: raw files to arrays."""

from semimed.jobs import job
from semimed.plan import Plan

from semimed import stages

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    stages.prepare(plan, snakemake.wildcards.dataset, snakemake.wildcards.preparation)
