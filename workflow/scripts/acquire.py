"""Rule acquire: say where the raw data of a data set is and what was found."""

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    stages.acquire(plan, snakemake.wildcards.dataset)
