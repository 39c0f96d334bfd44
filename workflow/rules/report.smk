# Tables, figures and the report page.


rule table:
    input:
        runs=table_inputs,
        published="resources/published/tables.csv",
        code=sources("reporting/tables", "reporting/table_layout", "reporting/latex", *OUTCOME_CODE),
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
        sources("reporting/tables", "reporting/table_layout", "reporting/latex", *OUTCOME_CODE),
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
        published="resources/published/tables.csv",
        code=sources("reporting/figures", "reporting/figure_kinds/*", *OUTCOME_CODE),
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
        code=sources("reporting/page*", "reporting/tables", "reporting/table_layout", *OUTCOME_CODE),
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
