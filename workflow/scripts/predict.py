"""Rule predict: label maps of one checkpoint on one subset."""

from pathlib import Path

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    run = plan.runs[str(Path(snakemake.output[0]).parents[1])]
    which = snakemake.wildcards
    stages.predict(plan, plan.study(run.study), run, which.checkpoint, which.output, which.subset)
