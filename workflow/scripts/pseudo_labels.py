"""Rule pseudo_labels: judge the pseudo-labels of one run over training."""

from pathlib import Path

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    run = plan.runs[str(Path(snakemake.output[0]).parent)]
    stages.judge_pseudo_labels(plan, plan.study(run.study), run)
