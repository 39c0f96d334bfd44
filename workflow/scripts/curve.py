"""Rule curve: score the kept checkpoints of one run."""

from pathlib import Path
from typing import TYPE_CHECKING

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    run = plan.runs[str(Path(snakemake.output[0]).parent)]
    stages.curve(plan, plan.study(run.study), run)
