"""Arrays that a run left behind for pictures (``illustrations.npz``, ``embeddings.npz``), and whether they may be shown."""

import zipfile
from pathlib import Path

import numpy as np

from ...errors import BadInput
from ...identity import planned_hash
from ...study import Run, Study
from ..outcomes import MISSING, STALE, VALID, Outcome, read_record


def find_arrays(study: Study, run: Run, path: str) -> tuple[Outcome, dict[str, np.ndarray]]:
    """Return the outcome of a run and its arrays in ``path``, {} unless valid. Raises ``BadInput`` for a damaged file."""
    record = read_record(f"{run.folder}/run.json")
    if record is None or not Path(path).is_file():
        return Outcome(run, MISSING, record or {}, path), {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive.items())
        made_by = str(arrays["made_by"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"damaged arrays {path} ({error}): delete the file so that it is made again") from error
    if not record["hash"] == planned_hash(study, run) == made_by:
        return Outcome(run, STALE, record, path), {}
    return Outcome(run, VALID, record, path), arrays
