"""Rule illustrate: pictures that one run draws of a few test images."""

from pathlib import Path

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    run = plan.runs[str(Path(snakemake.output[0]).parent)]
    stages.illustrate(plan, plan.study(run.study), run)
