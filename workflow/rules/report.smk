# Tables, figures, the cards of the data sets and the report page.


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


rule card:
    input:
        source="<results>/data/{dataset}/source.json",
        data=card_inputs,
        code=sources("reporting/card*", "reporting/page_style", "reporting/table_layout", "reporting/figure_kinds/pictures"),
    output:
        md="<results>/data/{dataset}/card.md",
        html="<results>/data/{dataset}/card.html",
    log:
        "<results>/logs/card/{dataset}.log",
    conda:
        "../../envs/semimed.yaml"
    params:
        content=card_content,
    message:
        "Describing the data set {wildcards.dataset}"
    script:
        "../scripts/card.py"


rule report:
    input:
        tables=expand("<results>/tables/{study}.csv", study=PLAN.studies),
        figures=[f"{path}.png" for path in FIGURES],
        cards=expand("<results>/data/{dataset}/card.html", dataset=PLAN.datasets),
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
