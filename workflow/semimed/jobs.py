"""What every job of the workflow and every command shares: logging, and errors that end in one line."""

import contextlib
import logging
import os
import sys
from pathlib import Path

from .errors import BadInput
from .files import writable

PREFIX = "semimed: error:"


@contextlib.contextmanager
def job(log: str | Path | None = None):
    """Log to the terminal and to the file ``log``; end with exit code 1 and one line on ``BadInput``.

    Any other exception keeps its traceback, in the log too.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    root = logging.getLogger("semimed")
    try:
        if log is not None:
            with writable(log):
                Path(log).parent.mkdir(parents=True, exist_ok=True)
                handlers.append(logging.FileHandler(log, mode="w"))
        for handler in handlers:
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
            root.addHandler(handler)
        root.setLevel(logging.INFO)
        yield
    except BadInput as error:
        _say(f"{PREFIX} {error}", log)
        sys.exit(1)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which this module does not import
            _say(f"{PREFIX} the GPU's memory ran out: make recipe or inference batches smaller, or run fewer jobs at once", log)
            sys.exit(1)
        if log is not None:
            root.exception("a defect of the program, please report it")
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _say(line: str, log: str | Path | None) -> None:
    print(line, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):
        if log is not None and Path(log).exists():
            with Path(log).open("a") as handle:
                handle.write(line + "\n")
