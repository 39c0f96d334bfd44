"""Rule split: one fold of a study."""

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    stages.split(plan.study(snakemake.wildcards.study), int(snakemake.wildcards.fold))
