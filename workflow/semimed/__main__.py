"""Commands beside the workflow: ``python -m semimed train``, ``table``, ``orphans``."""

import argparse
from pathlib import Path

from . import config as configuration
from .errors import BadInput, nearest
from .jobs import job
from .plan import Plan
from .study import Run, Study


def load_plan(configfiles: list[str]) -> Plan:
    """Return the plan of ``config/config.yaml`` with the given files merged over it, as ``snakemake --configfile`` does."""
    config = configuration.load_yaml(configuration.ROOT / "config" / "config.yaml")
    for path in configfiles:
        config = configuration.merge(config, configuration.load_yaml(path))
    return Plan(config, where=" + ".join(["config/config.yaml", *configfiles]))


def choose_run(study: Study, arguments: argparse.Namespace) -> Run:
    """Return the run that the arguments name; what they leave out is the study's first."""
    if arguments.arm not in study.arms:
        raise BadInput(f"study {study.name} has no arm '{arguments.arm}'{nearest(arguments.arm, study.arms)}")
    runs = study.select([arguments.arm])
    for key in ("budget", "fold", "seed"):
        wanted = getattr(arguments, key)
        if wanted is not None:
            known = sorted({str(getattr(run, key)) for run in runs})
            runs = [run for run in runs if str(getattr(run, key)) == wanted]
            if not runs:
                raise BadInput(f"arm '{arguments.arm}' of {study.name} has no {key} {wanted}; it has {', '.join(known)}")
    return runs[0]


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m semimed", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--configfile", action="append", default=[], help="merged over config/config.yaml; may be repeated")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", parents=[common], help="train and evaluate one run without Snakemake")
    train.add_argument("study")
    train.add_argument("arm")
    for key in ("budget", "fold", "seed"):
        train.add_argument(f"--{key}", help=f"the study's first {key} by default")
    train.add_argument("--resume", type=Path, help="a checkpoint to go on from (by default the run's own)")
    train.add_argument("--threads", type=int, help="CPU threads (by default from the configuration)")
    train.add_argument("--save-seconds", type=float, default=60.0, help="seconds between resume checkpoints")
    table = commands.add_parser("table", parents=[common], help="print a study's table from the runs that are there")
    table.add_argument("study")
    commands.add_parser("orphans", parents=[common], help="list run folders that no configured study names any more")
    arguments = parser.parse_args()
    with job():
        {"train": _train, "table": _table, "orphans": _orphans}[arguments.command](arguments)


def _train(arguments: argparse.Namespace) -> None:
    from .reporting.tables import draw
    from .stages import run_without_snakemake

    plan = load_plan(arguments.configfile)
    study = plan.study(arguments.study)
    execution = {"resume": arguments.resume, "save_seconds": arguments.save_seconds}
    if arguments.threads:
        execution["threads"] = arguments.threads
    run_without_snakemake(plan, study, choose_run(study, arguments), **execution)
    print(draw(study))


def _table(arguments: argparse.Namespace) -> None:
    from .reporting.tables import draw

    print(draw(load_plan(arguments.configfile).study(arguments.study)))


def _orphans(arguments: argparse.Namespace) -> None:
    plan = load_plan(arguments.configfile)
    known = {Path(folder) for folder in [*plan.runs, *plan.warmups]}
    there = [folder for kind in ("runs", "warmups") for folder in sorted(Path(plan.results, kind).glob("*/*/*/fold*-seed*"))]
    orphans = [folder for folder in there if folder not in known]
    print(*(orphans or ["none"]), sep="\n")


if __name__ == "__main__":
    main()
