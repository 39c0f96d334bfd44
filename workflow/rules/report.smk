# Tables, figures and the report page.

TABLE_CODE = [
    f"workflow/semimed/{name}.py" for name in ("tables", "table_layout", "latex", "outcomes", "published", "statistics")
]


def table_inputs(wildcards):
    return study_of(wildcards).table_inputs()


def table_content(wildcards):
    return canonical(study_of(wildcards).table_content)


def figure_inputs(wildcards):
    return FIGURES[f"{RESULTS}/figures/{wildcards.study}/{wildcards.figure}"]


def figure_content(wildcards):
    study = study_of(wildcards)
    return canonical({"figure": study.document["figures"][wildcards.figure], **study.table_content})


rule table:
    input:
        runs=table_inputs,
        published="resources/published/tables.csv",
        code=TABLE_CODE,
    output:
        csv=report("<results>/tables/{study}.csv", caption="../report/table.rst", category="Tables"),
        md="<results>/tables/{study}.md",
        tex="<results>/tables/{study}.tex",
    log:
        "<results>/logs/table/{study}.log",
    conda:
        "../../envs/semimed.yaml"
    params:
        content=table_content,
    message:
        "Writing the table of {wildcards.study}"
    script:
        "../scripts/table.py"


rule all_tables:
    input:
        expand("<results>/tables/{study}.csv", study=PLAN.studies),
        TABLE_CODE,
    output:
        "<results>/tables/all.tex",
    log:
        "<results>/logs/table/all.log",
    conda:
        "../../envs/semimed.yaml"
    message:
        "Collecting all tables in one document"
    script:
        "../scripts/all_tables.py"


rule figure:
    input:
        runs=figure_inputs,
        code=["workflow/semimed/figures.py", *KIND_CODE],
    output:
        png=report("<results>/figures/{study}/{figure}.png", caption="../report/figure.rst", category="Figures"),
        pdf="<results>/figures/{study}/{figure}.pdf",
    log:
        "<results>/logs/figure/{study}-{figure}.log",
    conda:
        "../../envs/semimed.yaml"
    params:
        content=figure_content,
    message:
        "Drawing the figure {wildcards.figure} of {wildcards.study}"
    script:
        "../scripts/figure.py"


rule report:
    input:
        tables=expand("<results>/tables/{study}.csv", study=PLAN.studies),
        figures=[f"{path}.png" for path in FIGURES],
        code="workflow/semimed/report.py",
    output:
        "<results>/report.html",
    log:
        "<results>/logs/report.log",
    conda:
        "../../envs/semimed.yaml"
    message:
        "Writing the report page"
    script:
        "../scripts/report.py"
