"""Rule figure: one figure as PNG and PDF."""

from semimed.jobs import job
from semimed.plan import Plan
from semimed.reporting.figures import draw_figure

with job(snakemake.log[0]):
    plan = Plan(snakemake.config)
    study = plan.study(snakemake.wildcards.study)
    draw_figure(study, snakemake.wildcards.figure, snakemake.output.png, snakemake.output.pdf)
