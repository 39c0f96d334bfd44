"""Downloads from servers that fail: which are asked again, when, how often, and what is followed."""

import contextlib
import email.utils
import time

import pytest
from download_cases import CONTENT, SHA256, hurry, ranges, serve
from flaky_server import Fault, FlakyServer
from semimed import download
from semimed.download import fetch
from semimed.errors import BadInput


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / "a.zip"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(path, status):
    with serve(Fault(status=status), Fault(status=status, headers={"Retry-After": "0"})) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert [request.status for request in server.requests] == [status, status, 200]


def test_a_server_that_sends_nothing_counts_as_a_dropped_connection(path, monkeypatch):
    monkeypatch.setattr(download, "READ_SECONDS", 0.8)
    with serve(Fault(stall=(0, 60_000)), Fault(stall=(100_000, 60_000))) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == [None, None, "bytes=100000-"]


def waits(monkeypatch, path, *faults):
    """The waits before each new attempt, in seconds, without waiting."""
    seconds = []
    monkeypatch.setattr(download, "BACK_OFF", 1.0)
    monkeypatch.setattr(download.time, "sleep", seconds.append)
    with serve(*faults) as server, contextlib.suppress(BadInput):
        fetch([server.url("/a")], path)
    return seconds


def test_the_wait_doubles_with_some_chance_until_something_comes(monkeypatch, path):
    down = [Fault(status=500)] * 3
    seconds = waits(monkeypatch, path, *down, Fault(drop=1000), *down)
    for wait, middle in zip(seconds, [2, 4, 8, 1, 2, 4, 8], strict=True):
        assert 0.5 * middle <= wait <= 1.5 * middle
    assert len({wait / middle for wait, middle in zip(seconds, [2, 4, 8, 1, 2, 4, 8], strict=True)}) == 7


def test_the_server_says_how_long_to_wait_but_no_longer_than_a_minute(monkeypatch, path):
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    asked = ["7", "86400", "9" * 5000, soon]
    seconds = waits(monkeypatch, path, *(Fault(status=503, headers={"Retry-After": value}) for value in asked))
    assert seconds[:2] == [7, 60] and 0 < seconds[2] <= 60 and 20 < seconds[3] <= 30


def test_a_retry_after_that_nobody_can_read_is_no_reason_to_stop(path):
    with serve(*(Fault(status=503, headers={"Retry-After": value}) for value in ("soon", ""))) as server:
        assert fetch([server.url("/a")], path) == SHA256


def test_attempts_that_bring_nothing_new_end_after_five(path):
    with serve(otherwise=Fault(drop=1000, ignore_range=True)) as server, pytest.raises(BadInput) as caught:
        fetch([server.url("/a")], path)
    assert len(server.requests) == 1 + 5 and "1000 bytes" in str(caught.value)


def test_attempts_that_bring_something_do_not_count_but_have_an_end(path, monkeypatch):
    with serve(otherwise=Fault(drop=20_000)) as server:
        assert fetch([server.url("/a")], path) == SHA256
        assert len(server.requests) == 15
        path.unlink()
        monkeypatch.setattr(download, "MOST_ATTEMPTS", 12)
        with pytest.raises(BadInput, match="240000 bytes stay"):
            fetch([server.url("/a")], path)
    assert len(server.requests) == 15 + 12


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 410, 501])
def test_another_answer_sends_to_the_next_url_at_once(path, status):
    with serve(Fault(status=status)) as server:
        assert fetch([server.url("/a"), server.url("/b")], path) == SHA256
    assert [(request.path, request.status) for request in server.requests] == [("/a", status), ("/b", 200)]


def test_no_server_at_all_sends_to_the_next_url(path):
    with serve() as server:
        with pytest.raises(BadInput, match=r"\(http://127.0.0.1:9/a: \[Errno \d+\] Connection refused \(attempts: 5\)\)"):
            fetch(["http://127.0.0.1:9/a"], path)
        assert fetch(["http://127.0.0.1:9/a", server.url("/b")], path) == SHA256


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a", "http://[", "//127.0.0.1:99999/"])
def test_only_http_is_followed(path, target):
    with serve(Fault(status=302, headers={"Location": target})) as server:
        assert fetch([server.url("/a"), server.url("/b")], path) == SHA256
        path.unlink()
        assert fetch(["file:///etc/hostname", server.url("/b")], path) == SHA256
    assert [request.path for request in server.requests] == ["/a", "/b", "/b"]


def test_a_redirection_is_followed_but_not_for_ever(path):
    there, here = Fault(status=302, headers={"Location": "/b"}), Fault(status=302, headers={"Location": "/a"})
    with FlakyServer({"/a": CONTENT, "/b": CONTENT}, {"/a": [there]}) as server:
        assert fetch([server.url("/a")], path) == SHA256
        path.unlink()
        server.faults, server.otherwise = iter(()), here
        with pytest.raises(BadInput, match="10 redirects"):
            fetch([server.url("/a")], path)
    assert len(server.requests) == 2 + 11
