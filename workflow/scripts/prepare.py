"""Rule prepare: raw files to arrays."""

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    stages.prepare(plan, snakemake.wildcards.dataset, snakemake.wildcards.preparation)
