"""Progress for people: a bar on a terminal, sparse lines in a log."""

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)
LINE_SECONDS = 30.0
MEGABYTE = 10**6  # bytes, as bars count them


class Progress:
    """Counts to ``total``; one line at most every ``LINE_SECONDS`` where there is no terminal."""

    def __init__(self, label: str, total: int, done: int = 0):
        self.label, self.total, self.done = label, total, done
        self.first, self.started, self.spoken = done, time.monotonic(), time.monotonic()
        terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, desc=label, dynamic_ncols=True) if terminal else None

    def update(self, done: int, text: str = "") -> None:
        self.done, step = done, done - self.done
        if self.bar is not None:
            self.bar.update(step)
            if text:
                self.bar.set_postfix_str(text)
        elif time.monotonic() - self.spoken >= LINE_SECONDS:
            self.spoken = time.monotonic()
            left = (self.spoken - self.started) / max(1, done - self.first) * (self.total - done)
            log.info("%s: %d of %d, %s, about %s left", self.label, done, self.total, text, _duration(left))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
