"""Rules warmup and train_run: train one stage of a run."""

from pathlib import Path

from semimed import stages
from semimed.jobs import job
from semimed.plan import Plan

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    folder = str(Path(snakemake.output.record).parent)
    stage = "warmup" if snakemake.rule == "warmup" else "train"
    run = plan.runs[folder] if stage == "train" else plan.first_run_of(plan.warmups[folder])
    stages.train(plan, plan.study(run.study), run, stage, threads=snakemake.threads)
