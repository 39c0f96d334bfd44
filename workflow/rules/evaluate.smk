# Predictions of finished runs and their metrics; test cases are read here for the first time.


rule predict:
    input:
        record="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/run.json",
        code=task_sources(*INFERENCE_CODE, "tasks/{}"),
    output:
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/predictions/{checkpoint}-{output}-{subset}.npz",
    log:
        "<results>/logs/predict/{study}/{arm}-{budget}-fold{fold}-seed{seed}-{checkpoint}-{output}-{subset}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["predict"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        inference=inference_options,
    message:
        "Predicting the {wildcards.subset} cases of {wildcards.study} with {wildcards.arm} ({wildcards.checkpoint})"
    script:
        "../scripts/predict.py"


rule evaluate:
    input:
        cases=study_cases,
        predictions="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/predictions/{checkpoint}-{output}-{subset}.npz",
        code=task_sources("metrics/{}", "tasks/{}"),
    output:
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/metrics/{checkpoint}-{output}-{subset}.csv",
    log:
        "<results>/logs/evaluate/{study}/{arm}-{budget}-fold{fold}-seed{seed}-{checkpoint}-{output}-{subset}.log",
    conda:
        "../../envs/semimed.yaml"
    message:
        "Scoring {wildcards.arm} of {wildcards.study} ({wildcards.checkpoint})"
    script:
        "../scripts/evaluate.py"


rule curve:
    input:
        record="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/run.json",
        code=task_sources(*INFERENCE_CODE, "metrics/{}", "tasks/{}", "curve", "losses"),
    output:
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/curve.csv",
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/disagreement.csv",
    log:
        "<results>/logs/curve/{study}/{arm}-{budget}-fold{fold}-seed{seed}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["predict"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        inference=inference_options,
        steps=kept_steps,
    message:
        "Scoring the kept checkpoints of {wildcards.arm} of {wildcards.study}"
    script:
        "../scripts/curve.py"


rule pseudo_labels:
    input:
        record="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/run.json",
        code=task_sources(*INFERENCE_CODE, "tasks/{}", "pseudo_labels"),
    output:
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/pseudo-labels.csv",
    log:
        "<results>/logs/pseudo-labels/{study}/{arm}-{budget}-fold{fold}-seed{seed}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["predict"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        inference=inference_options,
        steps=kept_steps,
    message:
        "Judging the pseudo-labels of {wildcards.arm} of {wildcards.study}"
    script:
        "../scripts/pseudo_labels.py"


rule illustrate:
    input:
        record="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/run.json",
        code=sources("illustrate", "resize", "samples"),
    output:
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/illustrations.npz",
    log:
        "<results>/logs/illustrate/{study}/{arm}-{budget}-fold{fold}-seed{seed}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["predict"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        cases=illustrated_cases,
        steps=kept_steps,
    message:
        "Illustrating what {wildcards.arm} of {wildcards.study} makes of test images"
    script:
        "../scripts/illustrate.py"


rule embed:
    input:
        record="<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/run.json",
        code=sources("embed", "illustrate", "resize", "samples"),
    output:
        "<results>/runs/{study}/{arm}/{budget}/fold{fold}-seed{seed}/embeddings.npz",
    log:
        "<results>/logs/embed/{study}/{arm}-{budget}-fold{fold}-seed{seed}.log",
    conda:
        "../../envs/semimed.yaml"
    threads: PLAN.config["threads"]["predict"]
    resources:
        gpu=PLAN.gpus_per_job,
    params:
        patch=embedded_patch,
        steps=kept_steps,
    message:
        "Embedding test images with {wildcards.arm} of {wildcards.study}"
    script:
        "../scripts/embed.py"
