"""Rule acquire: say where the raw data of a data set is and what was found."""

from typing import TYPE_CHECKING

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    stages.acquire(plan, snakemake.wildcards.dataset)
