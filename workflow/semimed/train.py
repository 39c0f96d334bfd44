"""Training a run, in a work folder that survives whatever happens to the job.

Everything a resumed run needs lives in ``work/`` of the run's folder. At the end the outputs get their place, ``run.json``
last, and ``work/`` is removed, so training is "take finished work, or do it".
"""

import json
import logging
import os
import shutil
from pathlib import Path

from .files import writable
from .identity import identify
from .locks import alone
from .trainer import Trainer
from .training_job import Job

log = logging.getLogger(__name__)


def train(job: Job) -> None:
    """Train the job's run, or go on with it, or publish its finished work. Raises ``BadInput`` for what a user can mend."""
    before = json.loads((Path(job.warmup) / "run.json").read_text())["hash"] if job.warmup else None
    identity = identify(job.spec, job.method_files, Path(job.data) / "cases.csv", job.split, before)
    work = Path(job.folder) / "work"
    finished = work / "run.json"
    busy = f"{job.folder} is being trained"
    with alone(Path(job.folder) / ".lock", busy):
        if finished.exists() and json.loads(finished.read_text())["hash"] == identity:
            log.info("taking the finished work in %s", work)
        else:
            with writable(work):
                work.mkdir(parents=True, exist_ok=True)
            Trainer(job, identity, work).run()
        publish(work, Path(job.folder))


def publish(work: Path, folder: Path) -> None:
    """Give everything in ``work`` its place in ``folder``, ``run.json`` last, then remove ``work``.

    Files are linked, not moved: a job killed halfway, whose outputs Snakemake then removes, still has all of its work.
    """
    with writable(folder):
        shutil.rmtree(folder / "weights", ignore_errors=True)
        for path in sorted(work.rglob("*"), key=lambda path: path.name == "run.json"):
            if path.is_file() and not path.name.startswith((".", "resume")):
                _link(path, folder / path.relative_to(work))
        # First what says that the work is finished: half of it must not be taken for the whole.
        (work / "run.json").unlink()
        shutil.rmtree(work)


def _link(source: Path, target: Path) -> None:
    """Put ``source`` at ``target`` too, replacing what is there in one step; a copy where links are not supported."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.publishing")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copyfile(source, fresh)
    os.replace(fresh, target)
