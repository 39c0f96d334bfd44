# Semimed: with few labels, which semi-supervised method works best on medical images, by how much, at what cost?
# Everything is asked for by name: `snakemake --cores all data | train | tables | figures | report`.

from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


pathvars:
    results=RESULTS,


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    acquire,
    data,
    tables,
    figures,


rule all:
    default_target: True
    input:
        "<results>/report.html",
        "<results>/tables/all.tex",


rule data:
    input:
        [split for study in PLAN.studies.values() for split in map(study.split, study.folds)],
        [f"{RESULTS}/data/{name}/card.md" for name in PLAN.datasets],


rule train:
    input:
        [f"{folder}/run.json" for folder in PLAN.runs],


rule tables:
    input:
        "<results>/tables/all.tex",


rule figures:
    input:
        [f"{path}.png" for path in FIGURES],
