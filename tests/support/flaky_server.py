"""A web server on the loopback that fails in stated ways, for tests of downloads.

    with FlakyServer({"/a.zip": content}, [Fault(drop=1000), Fault(status=503), None]) as server:
        fetch([server.url("/a.zip")], path)
    assert server.requests[1].headers["Range"] == "bytes=1000-"

What it serves is a mapping of paths to bytes, which a test may change while it runs, or a folder. Without faults it answers
as a good server does: strong ETag, Last-Modified, Range and If-Range, 416.
"""

import hashlib
import random
import re
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PIECE = 2**16
MODIFIED = "Mon, 06 Jan 2020 10:00:00 GMT"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; several may go wrong at once. Positions count the bytes of the body sent."""

    status: int = 0  # answered instead of the file, with no body
    headers: dict = field(default_factory=dict)  # in place of the server's own; None leaves one out
    hang_up: bool = False  # close the connection without an answer
    drop: int | None = None  # close it after so many bytes of the body
    stall: tuple[int, int] | None = None  # (bytes, milliseconds): after so many bytes, send nothing for so long
    flip: int | None = None  # one bit wrong in this byte of the body
    short: int = 0  # so many bytes fewer than Content-Length says
    longer: int = 0  # so many bytes more than it says
    shift: int = 0  # a partial answer whose Content-Range and body start so many bytes later
    chunked: bool = False  # no Content-Length: the body in chunks
    ignore_range: bool = False  # the whole file whatever is asked for
    ignore_if_range: bool = False  # a part of the file even if it is another version


@dataclass(frozen=True)
class Request:
    """What was asked, and the status of the answer (0: none)."""

    path: str
    headers: dict
    status: int


FINE = Fault()
# One fault of each kind, drawn for a file of ``n`` bytes. The first are those that a client can get over by itself.
HONEST = {
    "hang_up": lambda draw, n: Fault(hang_up=True),
    "drop": lambda draw, n: Fault(drop=draw.randrange(n + 1)),
    "short": lambda draw, n: Fault(short=draw.randrange(1, n + 2)),
    "longer": lambda draw, n: Fault(longer=draw.randrange(1, n + 2)),
    "stall": lambda draw, n: Fault(stall=(draw.randrange(n + 1), 250)),
    "busy": lambda draw, n: Fault(status=503, headers={"Retry-After": "0"}),
    "chunked": lambda draw, n: Fault(chunked=True, drop=draw.choice([None, draw.randrange(n + 1)])),
    "ignore_range": lambda draw, n: Fault(ignore_range=True),
    "shift": lambda draw, n: Fault(shift=draw.randrange(1, n + 2)),
    "missing": lambda draw, n: Fault(status=404),
    "redirect": lambda draw, n: Fault(status=302, headers={"Location": "file:///etc/hostname"}),
}
# And those that only a stated checksum can tell.
LYING = {"flip": lambda draw, n: Fault(flip=draw.randrange(max(n, 1)))}
EVERY = HONEST | LYING


def random_faults(seed, probability=0.5, kinds=EVERY, length=1000):
    """Yield without end a fault with this probability, else none; the same ones for the same seed.

    ``kinds``: which, a part of ``EVERY``. ``length``: of the files in bytes, about; positions are drawn below it.
    """
    draw = random.Random(seed)
    while True:
        kind = draw.choice(sorted(kinds))
        yield kinds[kind](draw, length) if draw.random() < probability else FINE


class FlakyServer:
    """Serve ``files`` (path to bytes, or a folder) on 127.0.0.1 while the ``with`` block lasts.

    ``faults`` is consumed one per request (``None``: no fault): an iterable for all requests, or a mapping of paths to
    iterables. Then every request meets ``otherwise``. ``requests`` lists what was asked, in order. ``secure``: over https, with
    a certificate that nobody vouches for.
    """

    def __init__(self, files: dict[str, bytes] | Path, faults: Iterable | dict = (), otherwise: Fault = FINE, secure=False):
        self.files, self.otherwise, self.requests = files, otherwise, []
        self.faults = {path: iter(some) for path, some in faults.items()} if isinstance(faults, dict) else iter(faults)
        self.lock, self.closing = threading.Lock(), threading.Event()
        handler = type("Handler", (_Handler,), {"flaky": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.scheme = "https" if secure else "http"
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.server_port}{path}"

    def asked(self, path: str) -> list[Request]:
        """Return the requests for one path."""
        return [request for request in self.requests if request.path == path]

    def content(self, path: str) -> bytes | None:
        if isinstance(self.files, dict):
            return self.files.get(path)
        place = (Path(self.files) / path.lstrip("/")).resolve()
        inside = place.is_relative_to(Path(self.files).resolve())
        return place.read_bytes() if inside and place.is_file() else None

    def fault(self, path: str) -> Fault:
        with self.lock:
            faults = self.faults.get(path, iter(())) if isinstance(self.faults, dict) else self.faults
            return next(faults, self.otherwise) or FINE


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing: tests look at ``requests``."""

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        fault, content = self.flaky.fault(path), self.flaky.content(path)
        status, headers, body = _answer(fault, content, self.headers)
        seen = 0 if fault.hang_up else status
        self.flaky.requests.append(Request(path, dict(self.headers), seen))
        if fault.hang_up:
            self.close_connection = True
            return
        try:
            self.send_response(status)
            for name, value in (headers | fault.headers).items():
                if value is not None:
                    self.send_header(name, value)
            if fault is not FINE:
                self.send_header("Connection", "close")
            self.end_headers()
            self.send_body(fault, body)
        except OSError:
            # The client left: it had enough, or was killed.
            self.close_connection = True

    def send_body(self, fault, body):
        if fault.flip is not None and fault.flip < len(body):
            body = bytearray(body)
            body[fault.flip] ^= 1
        if fault.short:
            body = body[: max(0, len(body) - fault.short)]
        if fault.longer:
            body = bytes(body) + b"x" * fault.longer
        end = len(body) if fault.drop is None else min(fault.drop, len(body))
        pause, milliseconds = fault.stall or (None, 0)
        stops = sorted({0, end, *([min(pause, end)] if fault.stall else [])})
        for start, stop in zip([0, *stops], stops, strict=False):
            self.send_pieces(fault, memoryview(body)[start:stop])
            if fault.stall and stop == min(pause, end):
                self.flaky.closing.wait(milliseconds / 1000)
        if fault.chunked and fault.drop is None:
            self.wfile.write(b"0\r\n\r\n")

    def send_pieces(self, fault, body):
        for start in range(0, len(body), PIECE):
            piece = body[start : start + PIECE]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if fault.chunked else piece)


def _answer(fault, content, asked):
    """Return the status, headers and body of an answer."""
    if fault.status or content is None:
        return fault.status or 404, {"Content-Length": "0"}, b""
    total, start, status = len(content), 0, 200
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"', "Last-Modified": MODIFIED, "Accept-Ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=([0-9]+)-", asked.get("Range", ""))
    versions = {value for name, value in (headers | fault.headers).items() if name in ("ETag", "Last-Modified")}
    current = fault.ignore_if_range or asked.get("If-Range") in (None, *versions)
    if wanted and current and not fault.ignore_range:
        start, status = int(wanted[1]), 206
        if start >= total:
            return 416, {"Content-Range": f"bytes */{total}", "Content-Length": "0"}, b""
        start = min(start + fault.shift, total - 1)
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
    headers |= {"Transfer-Encoding": "chunked"} if fault.chunked else {"Content-Length": str(total - start)}
    return status, headers, memoryview(content)[start:]
