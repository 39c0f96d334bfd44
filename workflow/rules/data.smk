# From raw files to prepared arrays and splits.


def phantom_options(wildcards):
    """Return what decides the raw files where the program writes them; the place of real ones decides nothing."""
    if PLAN.config["raw"][wildcards.dataset] == "phantom":
        return canonical(PLAN.datasets[wildcards.dataset]["phantom"])
    return ""


def preparation_options(wildcards):
    return canonical(PLAN.datasets[wildcards.dataset]["preparations"][wildcards.preparation])


def split_list(wildcards):
    return study_of(wildcards).document["split"].get("file", [])


def split_cases(wildcards):
    return f"{study_of(wildcards).data}/cases.csv"


def split_options(wildcards):
    return canonical(study_of(wildcards).document["split"])


rule acquire:
    output:
        "<results>/data/{dataset}/source.json",
    log:
        "<results>/logs/acquire/{dataset}.log",
    conda:
        "../../envs/semimed.yaml"
    params:
        phantom=phantom_options,
    message:
        "Looking for the raw data of {wildcards.dataset}"
    script:
        "../scripts/acquire.py"


rule prepare:
    input:
        "<results>/data/{dataset}/source.json",
    output:
        "<results>/data/{dataset}/{preparation}/cases.csv",
    log:
        "<results>/logs/prepare/{dataset}-{preparation}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["prepare"]
    params:
        options=preparation_options,
    message:
        "Preparing {wildcards.dataset} ({wildcards.preparation})"
    script:
        "../scripts/prepare.py"


rule split:
    input:
        cases=split_cases,
        official=split_list,
    output:
        "<results>/splits/{study}/fold{fold}.csv",
    log:
        "<results>/logs/split/{study}-fold{fold}.log",
    conda:
        "../../envs/semimed.yaml"
    params:
        options=split_options,
    message:
        "Splitting the cases of {wildcards.study}, fold {wildcards.fold}"
    script:
        "../scripts/split.py"
