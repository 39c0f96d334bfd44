"""What the tests of downloads share: a file, a server that has it, and a look at what is left of it on the disk."""

import hashlib
import random

import pytest
from flaky_server import FINE, Fault, FlakyServer
from semimed import download
from semimed.download import fetch
from semimed.errors import BadInput

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PINNED = {"size": len(CONTENT), "sha256": SHA256}


def hurry(monkeypatch):
    """Wait milliseconds; ask the loopback directly even on a machine behind a proxy."""
    monkeypatch.setattr(download, "BACK_OFF", 0.0005)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def serve(*faults, otherwise=FINE, content=CONTENT):
    return FlakyServer({"/a": content, "/b": content}, faults, otherwise)


def left(path):
    """The names of all files in the folder."""
    return sorted(place.name for place in path.parent.iterdir())


def ranges(server, name="/a"):
    return [request.headers.get("Range") for request in server.asked(name)]


def break_off(server, path, at=100_000, **options):
    """Leave a partial file of ``at`` bytes."""
    server.faults = iter([Fault(drop=at), *[Fault(hang_up=True)] * download.FRUITLESS_ATTEMPTS])
    with pytest.raises(BadInput) as caught:
        fetch([server.url("/a")], path, progress=False, **options)
    server.requests.clear()
    return str(caught.value)
