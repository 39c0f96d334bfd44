# From raw files to prepared arrays and splits.


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
        cases=study_cases,
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
