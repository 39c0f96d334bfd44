# Warm-ups and runs. What decides their weights stands in `params.spec`, the method's files, the cases and the split.


rule warmup:
    input:
        warmup_inputs,
    output:
        record="<results>/warmups/{study}/{key}/{budget}/fold{fold}-seed{seed}/run.json",
        history="<results>/warmups/{study}/{key}/{budget}/fold{fold}-seed{seed}/history.csv",
        weights=directory("<results>/warmups/{study}/{key}/{budget}/fold{fold}-seed{seed}/weights"),
    log:
        "<results>/logs/warmup/{study}/{key}-{budget}-fold{fold}-seed{seed}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["train"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        spec=warmup_spec,
    message:
        "Warming up {wildcards.key} of {wildcards.study} at {wildcards.budget} labels, fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"


rule train_run:
    input:
        train_inputs,
    output:
        record="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/run.json",
        history="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/history.csv",
        weights=directory("<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/weights"),
    log:
        "<results>/logs/train/{study}/{arm}-{budget}-fold{fold}-seed{seed}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["train"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        spec=train_spec,
    message:
        "Training {wildcards.arm} of {wildcards.study} at {wildcards.budget} labels, fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"
