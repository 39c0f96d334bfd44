"""One process at a time."""

import contextlib
import fcntl
import logging
import os
from pathlib import Path

from .errors import BadInput
from .files import writable

log = logging.getLogger(__name__)


@contextlib.contextmanager
def alone(lock: str | Path, busy: str, setting: str = "results"):
    """Hold the file ``lock`` while the block lasts; raises ``BadInput`` where another process does, saying what is ``busy``.

    It also raises where the lock cannot be written (``setting`` is as in ``files.writable``). A killed process holds nothing:
    what it leaves is a file that nobody holds.
    """
    lock = Path(lock)
    with writable(lock.parent, setting):
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("a+")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file between our opening and our locking it.
            if lock.stat().st_ino != os.fstat(handle.fileno()).st_ino:
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            handle.seek(0)
            who = f"process {handle.read(20)}".strip()
            raise BadInput(f"{busy} by another process ({who}): wait for it or end it, then run again") from error
        except OSError:
            log.info("no file locks in %s: make sure that no other process does the same", lock.parent)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
