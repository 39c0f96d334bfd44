"""Rule embed: vectors of patches of test images at the kept checkpoints of one run."""

from pathlib import Path

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    run = plan.runs[str(Path(snakemake.output[0]).parent)]
    stages.embed(plan, plan.study(run.study), run)
