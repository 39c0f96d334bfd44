# The plan, built once, and the lookups that rules share. Nothing here imports torch or reads data.

import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from semimed.errors import BadInput
from semimed.files import canonical, check_folders
from semimed.identity import relative_sources
from semimed.plan import Plan

try:
    PLAN = Plan(config, where=" + ".join(map(str, workflow.configfiles)) or "config")
    check_folders(PLAN.results)
except BadInput as error:
    sys.exit(f"semimed: error: {error}")

RESULTS = PLAN.results
FIGURES = {
    f"{RESULTS}/figures/{study.name}/{name}": study.figure_inputs(name)
    for study in PLAN.studies.values()
    for name in study.document["figures"]
}


def sources(*names):
    """Return files of the library as inputs, relative to the repository: a stage runs again when its own code changes."""
    root = Path(workflow.basedir)
    return sorted(str(path.relative_to(root)) for name in names for path in root.glob(f"workflow/semimed/{name}.py"))


def task_sources(*names):
    """Return an input function: files of the library, ``{}`` in their names being the task of the study."""
    return lambda wildcards: sources(*(name.format(study_of(wildcards).task) for name in names))


# Views, geometry and the training loop are the engine: recorded with each run and reported, not inputs. See README.
INFERENCE_CODE = ["inference", "components", "resize", "samples"]
OUTCOME_CODE = ["reporting/outcomes", "reporting/published", "statistics"]


wildcard_constraints:
    figure="[a-z0-9-]+",
    preparation="[a-z0-9-]+",
    key="[a-z0-9+-]+",
    dataset="|".join(PLAN.datasets),
    study="|".join(PLAN.studies),
    arm="[a-z0-9][a-z0-9.+-]*",
    budget="[0-9.]+(pct)?",
    fold="[0-9]+",
    seed="[0-9]+",
    checkpoint="last|best",
    output="[a-z0-9-]+",
    subset="test|validation",


def study_of(wildcards):
    return PLAN.studies[wildcards.study]


def studies_on(wildcards):
    return [study for study in PLAN.studies.values() if study.document["dataset"] == wildcards.dataset]


def run_folder(wildcards):
    w = wildcards
    return f"{RESULTS}/runs/{w.study}/{w.arm}/{w.budget}/fold{w.fold}-seed{w.seed}"


def looked_up(known, path, kind):
    """Return what stands for a path in the plan; a path outside it is one clear line."""
    if path not in known:
        raise WorkflowError(f"{path} is no {kind} of the configured studies, budgets, folds and seeds")
    return known[path]


def run_of(wildcards):
    return looked_up(PLAN.runs, run_folder(wildcards), "run")


def warmup_of(wildcards):
    w = wildcards
    return looked_up(PLAN.warmups, f"{RESULTS}/warmups/{w.study}/{w.key}/{w.budget}/fold{w.fold}-seed{w.seed}", "warm-up")


def data_inputs(study, fold):
    return [f"{study.data}/cases.csv", study.split(fold)]


# --- from raw files to prepared arrays and splits ---


def phantom_options(wildcards):
    """Return what decides the raw files where the program writes them; the place of real ones decides nothing."""
    if PLAN.config["raw"][wildcards.dataset] == "phantom":
        return canonical(PLAN.datasets[wildcards.dataset].get("phantom"))
    return ""


def preparation_options(wildcards):
    return canonical(PLAN.datasets[wildcards.dataset]["preparations"][wildcards.preparation])


def split_list(wildcards):
    return study_of(wildcards).document["split"].get("file", [])


def study_cases(wildcards):
    return f"{study_of(wildcards).data}/cases.csv"


def split_options(wildcards):
    return canonical(study_of(wildcards).split_options)


# --- warm-ups and runs ---


def warmup_inputs(wildcards):
    warmup = warmup_of(wildcards)
    study = study_of(wildcards)
    return data_inputs(study, warmup.fold) + relative_sources(warmup.files)


def warmup_spec(wildcards):
    return warmup_of(wildcards).spec


def train_inputs(wildcards):
    run = run_of(wildcards)
    study = study_of(wildcards)
    before = [f"{run.warmup.folder}/run.json"] if run.warmup else []
    return data_inputs(study, run.fold) + relative_sources(run.arm.entry.files) + before


def train_spec(wildcards):
    return run_of(wildcards).spec


# --- predictions and metrics ---


def inference_options(wildcards):
    return canonical(study_of(wildcards).document["inference"])


def kept_steps(wildcards):
    return run_of(wildcards).kept


def illustrated_cases(wildcards):
    return study_of(wildcards).illustrated_cases


def embedded_patch(wildcards):
    return study_of(wildcards).embedded_patch


# --- cards, tables and figures ---


def card_inputs(wildcards):
    return sorted({path for study in studies_on(wildcards) for fold in study.folds for path in data_inputs(study, fold)})


def card_content(wildcards):
    """Return what a card says of the configuration: how the data set is described, and which budgets its studies have."""
    return canonical(
        {
            study.name: [study.document["title"], study.dataset, sorted({str(run.budget) for run in study.runs})]
            for study in studies_on(wildcards)
        }
    )


def table_inputs(wildcards):
    return study_of(wildcards).table_inputs()


def table_content(wildcards):
    return canonical(study_of(wildcards).table_content)


def figure_inputs(wildcards):
    return looked_up(FIGURES, f"{RESULTS}/figures/{wildcards.study}/{wildcards.figure}", "figure")


def figure_content(wildcards):
    study = study_of(wildcards)
    return canonical({"figure": study.document["figures"][wildcards.figure], **study.table_content})
