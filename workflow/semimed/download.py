"""Fetch one file over http: resumed after a break, tried again, verified, and there whole or not at all.

A partial file is resumed only from the URL it began with, and only while the server says that the version is still the
same. Mirrors never share one, so a bad mirror cannot spoil what another one gives; the one that began is asked first.
"""

# pooch would be the library for this, but it starts over after a break.
import contextlib
import logging
import random
import re
import shutil
import time
from pathlib import Path

import requests
import urllib3

from .errors import BadInput
from .files import writable
from .locks import alone
from .partial_file import CHUNK, Partial, Wanted
from .progress import MEGABYTE, Progress

log = logging.getLogger(__name__)
CONNECT_SECONDS = 20.0
READ_SECONDS = 60.0  # a server that sends nothing for so long counts as a dropped connection
# Attempts per URL: without a new byte one after the other, and in all.
FRUITLESS_ATTEMPTS = 5
MOST_ATTEMPTS = 200
# Seconds before the next attempt, doubled with each one that brought nothing; and the most, whatever the server asks for.
BACK_OFF, LONGEST_WAIT = 1.0, 60.0
MOST_REDIRECTS = 10
# What a server may send that states no size, where the caller states none either: an endless answer must not fill the disk.
MOST_UNANNOUNCED = 2**30
BUSY = (429, 500, 502, 503, 504)
RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


class _Broken(Exception):
    """The network or the server failed: worth another attempt, after ``wait`` seconds where the server says so."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class _Refused(Exception):
    """The URL does not give the file, however often it is asked."""


def fetch(urls: list[str], path: Path, size=None, sha256=None, md5=None, progress=True) -> str:
    """Download a file to ``path`` from the first of ``urls`` that gives it; return its SHA-256 (64 hexadecimal digits).

    ``size`` (bytes), ``sha256`` and ``md5`` are checked where they are given. A file that is there already is checked and
    not downloaded. Raises ``BadInput`` where no URL gives the file, the disk has no room for it, another process is
    fetching it, or another file is in its place. After a failure of the network the partial file stays for the next call.
    """
    wanted = Wanted(Path(path), size, sha256, md5)
    busy = f"{path} is being fetched"
    with writable(path, "downloads"):
        if wanted.path.exists():
            return wanted.found(urls)
        with alone(f"{path}.part.lock", busy, "downloads"), requests.Session() as session:
            # The process that held it may have finished it.
            return wanted.found(urls) if wanted.path.exists() else _fetch(session, urls, Partial(wanted), progress)


def _fetch(session, urls, partial, progress) -> str:
    """Try the URLs in turn, first the one that a partial file is from."""
    session.max_redirects, reasons = MOST_REDIRECTS, []
    for url in sorted(urls, key=lambda url: url != partial.url):
        session.verify = True
        try:
            _fetch_from(session, url, partial, progress)
            return partial.publish()
        except _Refused as error:
            reasons.append(f"{url}: {error}")
    if partial.url in urls and partial.resumable(partial.url):
        reasons.append(f"{partial.length} bytes stay in {partial.file} and the next start goes on from there")
    else:
        partial.discard()
    path = partial.wanted.path
    raise BadInput(f"cannot get {path.name} ({'; '.join(reasons)}): try later, or get it by hand and put it at {path}")


def _fetch_from(session, url, partial, progress) -> None:
    """Bring the whole, right file into ``partial``, in several attempts if need be. Raises ``_Refused``."""
    # urllib3's Retry does not see a body that breaks off; one loop for everything keeps one count of attempts.
    fruitless, most = 0, partial.resumable(url)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            if not partial.complete(url):
                _attempt(session, url, partial, progress)
            if fault := partial.wanted.fault(partial.length, partial.hashes):
                partial.discard()
                raise _Refused(fault)
            return
        except _Broken as error:
            reason, wait = str(error), error.wait
        # Bytes that came before and were thrown away are not new: a server that always starts over is not asked for ever.
        reached = partial.length if partial.url == url else 0
        fruitless, most = (0, reached) if reached > most else (fruitless + 1, most)
        if fruitless == FRUITLESS_ATTEMPTS:
            break
        if wait is None:
            wait = BACK_OFF * 2**fruitless * random.uniform(0.5, 1.5)
        wait = min(wait, LONGEST_WAIT)
        log.info("%s: %s (attempt %d, %d bytes so far); again in %.0f s", url, reason, attempt, reached, wait)
        time.sleep(wait)
    raise _Refused(f"{reason} (attempts: {attempt})")


def _attempt(session, url, partial, progress) -> None:
    """Ask once and take what comes."""
    start = partial.resumable(url)
    # What is counted and hashed are the bytes of the file itself, so no packing on the way.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": partial.validator}
    try:
        # said here too: over the session's own word a REQUESTS_CA_BUNDLE would win
        options = {"stream": True, "timeout": (CONNECT_SECONDS, READ_SECONDS), "verify": session.verify}
        response = session.get(url, headers=headers, **options)
    except requests.exceptions.SSLError as error:
        if not (session.verify and partial.wanted.sha256):
            raise _Refused(_innermost(error)) from error
        # Kvasir-SEG's server leaves out a part of its certificate. Whoever sends the file, the SHA-256 says what it is.
        log.warning("%s: %s; the stated checksum decides instead", url, _innermost(error))
        session.verify = False
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        raise _Broken("its certificate cannot be checked", wait=0) from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Broken(_innermost(error)) from error
    # Not http, too many redirections, or one to what is no address (a ValueError, which requests lets pass).
    except (requests.RequestException, ValueError) as error:
        raise _Refused(_innermost(error)) from error
    with response:
        status = response.status_code
        if status in BUSY:
            raise _Broken(f"HTTP {status}", _retry_after(response))
        if start and status in (206, 416):
            if status == 416 or not _goes_on(response, partial):
                partial.discard()
                raise _Broken("the server does not go on where the partial file ends")
            _check_room(partial, partial.total)
        elif status == 200:
            _begin(response, url, partial)
        else:
            raise _Refused(f"HTTP {status}")
        _receive(response, partial, progress)


def _goes_on(response, partial) -> bool:
    """Say whether a 206 continues the partial file: from its end, with the same total and of the same version."""
    told = RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if told is None or _validator(response) not in (None, partial.validator):
        return False
    return int(told[1]) == partial.length and (partial.total is None or told[2] in ("*", str(partial.total)))


def _begin(response, url, partial) -> None:
    """Check what a 200 announces, and start over with it."""
    wanted = partial.wanted
    length = response.headers.get("Content-Length", "")
    announced = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
    fault = ""
    if announced is not None:
        fault = wanted.fault(announced, {})
    # Of a login or of a portal; without a checksum it would be taken for the file.
    if response.headers.get("Content-Type", "").startswith("text/html") and not (wanted.sha256 or wanted.md5):
        fault = "a web page comes instead of the file"
    if fault:
        if partial.url == url:
            partial.discard()
        raise _Refused(fault)
    total = wanted.size if announced is None else announced
    _check_room(partial, total)
    partial.begin(url, _validator(response), total)


def _check_room(partial, total) -> None:
    """Raise ``BadInput`` where the disk cannot hold ``total`` bytes in place of those that are there."""
    folder = partial.file.parent
    room = shutil.disk_usage(folder).free + partial.length
    if total is not None and total > room:
        what = f"{partial.wanted.path.name} in {folder}"
        raise BadInput(f"no room for {what}: it has {total} bytes and there is room for {room}; free some space")


def _receive(response, partial, progress) -> None:
    """Append the body to the partial file."""
    total, came, bar = partial.total, 0, None
    if progress and total:
        bar = Progress(f"{partial.wanted.path.name} (MB)", _megabytes(total), _megabytes(partial.length))
    started = time.monotonic()
    with partial.file.open("ab") as handle, contextlib.closing(bar) if bar else contextlib.nullcontext():
        for piece in _pieces(response):
            if partial.length + len(piece) > (MOST_UNANNOUNCED if total is None else total):
                partial.discard()
                stated = "a size that nobody stated" if total is None else f"the {total} bytes it should have"
                raise _Refused(f"more than {stated}")
            partial.add(piece, handle)
            came += len(piece)
            if bar and _megabytes(partial.length) > bar.done:
                speed = came / MEGABYTE / max(time.monotonic() - started, 1e-3)
                bar.update(_megabytes(partial.length), f"{speed:.1f} MB/s")
    # The end of a chunked body is marked, so what comes short of the stated size is another file, not a broken connection.
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "")
    if total is not None and partial.length < total and not chunked:
        raise _Broken(f"it ended after {partial.length} of {total} bytes")


def _pieces(response):
    """Yield the body, at most ``CHUNK`` bytes at a time, as sent: a .gz that the server calls packed stays packed."""
    try:
        # read1 gives what has come; read would lose up to a chunk whenever the connection breaks.
        while piece := response.raw.read1(CHUNK, decode_content=False):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(_innermost(error)) from error


def _validator(response) -> str | None:
    """Return what names this version of the file, a strong ETag or else the time of its last change, or ``None``."""
    tag = response.headers.get("ETag", "")
    value = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
    return value if value and value.isprintable() else None


def _retry_after(response) -> float | None:
    """Return the seconds that the server asks to wait, ``None`` where it does not or not in words one can read."""
    value = response.headers.get("Retry-After")
    try:
        return urllib3.Retry().parse_retry_after(value) if value else None
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def _innermost(error) -> str:
    """Return the reason at the bottom of a network error: the errors above quote each other at length."""
    while inner := error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None):
        error = inner
    return str(error) or type(error).__name__


def _megabytes(length) -> int:
    return -(-length // MEGABYTE)
