"""Downloads: verified, and there whole or not at all."""

import errno
import hashlib
import os
import shutil
import tracemalloc
from types import SimpleNamespace

import pytest
from download_cases import CONTENT, PINNED, SHA256, break_off, hurry, left, ranges, serve
from flaky_server import Fault, FlakyServer
from semimed import download, progress
from semimed.download import fetch
from semimed.errors import BadInput


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / "a.zip"


def test_the_right_file_stands_alone_and_its_sha256_is_returned(path):
    with serve() as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert path.read_bytes() == CONTENT and left(path) == ["a.zip"]
    assert server.requests[0].headers["Accept-Encoding"] == "identity" and ranges(server) == [None]


def test_an_empty_file_is_a_file(path):
    with serve(content=b"") as server:
        assert fetch([server.url("/a")], path) == hashlib.sha256().hexdigest()
    assert path.read_bytes() == b"" and left(path) == ["a.zip"]


def test_bytes_are_hashed_as_sent_even_where_the_server_calls_them_packed(path):
    with serve(otherwise=Fault(headers={"Content-Encoding": "gzip"})) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert path.read_bytes() == CONTENT


@pytest.fixture
def lengths(monkeypatch):
    """The lengths that the partial file reaches."""
    reached, add = [], download.Partial.add

    def spy(self, piece, handle):
        add(self, piece, handle)
        reached.append(self.length)

    monkeypatch.setattr(download.Partial, "add", spy)
    return reached


def test_another_size_is_refused_before_a_byte_is_taken(path, lengths):
    with serve() as server, pytest.raises(BadInput, match="it has 300000 bytes instead of 299999"):
        fetch([server.url("/a")], path, size=299_999)
    assert left(path) == [] and lengths == []


@pytest.mark.parametrize("stated", [True, False])
def test_an_endless_answer_is_cut_off(path, monkeypatch, lengths, stated):
    monkeypatch.setattr(download, "MOST_UNANNOUNCED", len(CONTENT))
    with serve(otherwise=Fault(chunked=True, longer=2_000_000)) as server, pytest.raises(BadInput, match="more than"):
        fetch([server.url("/a")], path, size=len(CONTENT) if stated else None)
    assert left(path) == [] and 0 < lengths[-1] <= len(CONTENT) and len(server.requests) == 1


def test_more_than_the_server_announced_is_not_taken(path):
    with serve(otherwise=Fault(longer=1_000_000)) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert path.read_bytes() == CONTENT


def test_a_marked_end_before_the_stated_size_is_another_file(path):
    with serve(otherwise=Fault(chunked=True)) as server, pytest.raises(BadInput, match="300000 bytes instead of 300001"):
        fetch([server.url("/a")], path, size=300_001)
    assert left(path) == [] and len(server.requests) == 1


@pytest.mark.parametrize("resumed", [False, True])
def test_a_disk_without_room_is_said_before_anything_is_written(path, monkeypatch, resumed):
    with serve() as server:
        if resumed:
            break_off(server, path)
        before = left(path) if resumed else []
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1234))
        room = 101_234 if resumed else 1234
        with pytest.raises(BadInput, match=f"300000 bytes and there is room for {room}; free some space"):
            fetch([server.url("/a"), server.url("/b")], path)
        assert left(path) == before and len(server.requests) == 1
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=200_000 if resumed else 300_000))
        assert fetch([server.url("/a")], path) == SHA256


@pytest.mark.parametrize("stated", [{"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_wrong_content_goes_and_the_next_url_is_tried(path, stated):
    with serve() as server:
        with pytest.raises(BadInput) as caught:
            fetch([server.url("/a"), server.url("/b")], path, **stated)
        assert left(path) == [] and [request.path for request in server.requests] == ["/a", "/b"]
    for part in (server.url("/a"), server.url("/b"), f"instead of {'0' * 32}", f"put it at {path}"):
        assert part in str(caught.value)


def test_stated_hashes_are_compared_whatever_their_case(path):
    md5 = hashlib.md5(CONTENT).hexdigest()
    with serve(Fault(flip=299_999), Fault(drop=100_000)) as server:
        urls = [server.url("/a"), server.url("/b")]
        assert fetch(urls, path, sha256=SHA256.upper(), md5=md5.upper()) == SHA256
    assert path.read_bytes() == CONTENT and ranges(server, "/b") == [None, "bytes=100000-"]


def test_a_web_page_is_not_taken_for_a_file_without_checksum(path):
    page = Fault(headers={"Content-Type": "text/html; charset=utf-8"})
    with serve(otherwise=page) as server:
        with pytest.raises(BadInput, match="a web page comes instead"):
            fetch([server.url("/a")], path)
        assert left(path) == []
        assert fetch([server.url("/a")], path, sha256=SHA256) == SHA256


def test_a_file_that_is_there_is_checked_and_not_asked_for(path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch(["http://127.0.0.1:9/a"], path, **PINNED) == SHA256 == fetch([], path)
    for stated in ({"size": 5}, {"sha256": "0" * 64}, {"md5": "0" * 32}):
        with pytest.raises(BadInput, match=r"a\.zip is not the stated file, .*: delete it"):
            fetch(["http://127.0.0.1:9/a"], path, **stated)
    assert path.read_bytes() == CONTENT and left(path) == ["a.zip"]
    with pytest.raises(BadInput, match="not a file"):
        fetch([], path.parent)


def test_a_disk_that_fills_up_meanwhile_is_one_line_and_what_came_stays(path, monkeypatch):
    def add(self, piece, handle):
        raise OSError(errno.ENOSPC, "full")

    with serve() as server:
        break_off(server, path)
        with monkeypatch.context() as patch, pytest.raises(BadInput, match="the disk is full"):
            patch.setattr(download.Partial, "add", add)
            fetch([server.url("/a")], path)
        assert left(path) == ["a.zip.part", "a.zip.part.json"] and len(server.requests) == 1
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == ["bytes=100000-"] * 2


def test_the_file_is_flushed_before_it_gets_its_name(path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(os.readlink(f"/proc/self/fd/{handle}")), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *places: (calls.append("rename"), replace(*places)))
    with serve() as server:
        fetch([server.url("/a")], path)
    assert calls == [f"{path}.part", "rename", str(path.parent)]


def test_a_log_gets_lines_in_megabytes(path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    caplog.set_level("INFO")
    with serve(content=bytes(2_500_000)) as server:
        fetch([server.url("/a")], path)
        lines = [line for line in caplog.messages if "MB/s" in line]
        assert lines[0].startswith("a.zip (MB): 1 of 3,") and lines[-1].startswith("a.zip (MB): 3 of 3,")
        path.unlink()
        caplog.clear()
        fetch([server.url("/a")], path, progress=False)
    assert not [line for line in caplog.messages if "MB/s" in line]


def test_memory_does_not_grow_with_the_file(path):
    content = bytes(40_000_000)
    with serve(Fault(drop=20_000_000), content=content) as server:
        tracemalloc.start()
        fetch([server.url("/a")], path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert path.stat().st_size == len(content) and peak < 8_000_000


def test_a_certificate_that_nobody_vouches_for_is_taken_only_where_the_checksum_is_stated(path, caplog):
    with FlakyServer({"/a": CONTENT}, secure=True) as server:
        for stated in ({}, {"md5": hashlib.md5(CONTENT).hexdigest()}):
            with pytest.raises(BadInput, match="certificate verify failed"):
                fetch([server.url("/a")], path, **stated)
            assert left(path) == []
        assert fetch([server.url("/a")], path, **PINNED) == SHA256
        assert "the stated checksum decides instead" in caplog.text and len(server.requests) == 1
