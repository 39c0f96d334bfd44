"""Training a run, in a work folder that survives whatever happens to the job.

Everything a resumed run needs lives in ``work/`` of the run's folder. At the end the outputs are moved out, ``run.json``
last, and ``work/`` is removed, so training is "take finished work, or do it".
"""

import json
import logging
import os
import shutil
from pathlib import Path

from .files import writable
from .identity import identify
from .trainer import Job, Trainer

log = logging.getLogger(__name__)


def train(job: Job) -> None:
    """Train the job's run, or go on with it, or publish its finished work. Raises ``BadInput`` for what a user can mend."""
    before = json.loads((Path(job.warmup) / "run.json").read_text())["hash"] if job.warmup else None
    identity = identify(job.spec, job.method_files, Path(job.data) / "cases.csv", job.split, before)
    work = Path(job.folder) / "work"
    finished = work / "run.json"
    if not (finished.exists() and json.loads(finished.read_text())["hash"] == identity):
        with writable(work):
            work.mkdir(parents=True, exist_ok=True)
        Trainer(job, identity, work).run()
    else:
        log.info("taking the finished work in %s", work)
    publish(work, Path(job.folder))


def publish(work: Path, folder: Path) -> None:
    """Move everything out of ``work``, ``run.json`` last, and remove it. Weights of an earlier training go first."""
    with writable(folder):
        shutil.rmtree(folder / "weights", ignore_errors=True)
        for path in sorted(work.rglob("*"), key=lambda path: path.name == "run.json"):
            if path.is_file() and not path.name.startswith((".", "resume")):
                target = folder / path.relative_to(work)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
        shutil.rmtree(work)
