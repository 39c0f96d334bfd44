"""Rule card: what a data set holds, how it is split, what to be wary of."""

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    stages.card(plan, snakemake.wildcards.dataset)
