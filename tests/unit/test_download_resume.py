"""Partial downloads: resumed only where that is certain to be right, by a later process too."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from download_cases import CONTENT, PINNED, SHA256, break_off, hurry, left, ranges, serve
from flaky_server import EVERY, HONEST, MODIFIED, Fault, FlakyServer, random_faults
from semimed import download
from semimed.download import fetch
from semimed.errors import BadInput

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / "a.zip"


def test_a_broken_connection_is_resumed_where_it_broke(path):
    with serve(Fault(drop=100_000), Fault(short=50_000), Fault(hang_up=True)) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == [None, "bytes=100000-", "bytes=250000-", "bytes=250000-"]
    assert {request.headers["If-Range"] for request in server.requests[1:]} == {f'"{SHA256[:16]}"'}


def test_a_later_call_resumes_and_hashes_what_was_there(path):
    with serve() as server:
        line = break_off(server, path)
        assert left(path) == ["a.zip.part", "a.zip.part.json"] and "100000 bytes stay in" in line
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == ["bytes=100000-"] and path.read_bytes() == CONTENT and left(path) == ["a.zip"]


def test_without_a_strong_etag_the_time_of_the_last_change_is_the_validator(path):
    weak = {"ETag": 'W/"weak"'}
    with serve(Fault(headers=weak, drop=100_000), otherwise=Fault(headers=weak)) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert server.requests[1].headers["If-Range"] == MODIFIED and ranges(server) == [None, "bytes=100000-"]


def test_without_a_validator_nothing_is_resumed_or_kept(path):
    none = {"ETag": None, "Last-Modified": None}
    with serve(Fault(headers=none, drop=100_000), otherwise=Fault(headers=none)) as server:
        assert fetch([server.url("/a")], path) == SHA256
        assert ranges(server) == [None, None]
        path.unlink()
        server.otherwise = Fault(headers=none, drop=100_000)
        with pytest.raises(BadInput) as caught:
            fetch([server.url("/a")], path)
    assert left(path) == [] and "stay" not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(ignore_range=True),
        Fault(shift=7),
        Fault(headers={"Content-Range": "bytes 100000-299999/400000"}),
        Fault(headers={"Content-Range": None}),
        Fault(headers={"Content-Range": "bytes 100000-299999/" + "9" * 5000}),
        Fault(headers={"ETag": '"another"'}, ignore_if_range=True),
        Fault(status=416),
    ],
    ids=["range ignored", "other start", "other total", "no place", "absurd total", "other version", "416"],
)
def test_what_does_not_go_on_exactly_there_starts_over(path, fault):
    with serve() as server:
        break_off(server, path)
        server.faults = iter([fault])
        # No checksum: only the server's word keeps two versions apart.
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == ["bytes=100000-", *([] if fault.ignore_range else [None])] and path.read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_fetched_anew(path):
    with serve() as server:
        break_off(server, path)
        server.files["/a"] = CONTENT[::-1]
        assert fetch([server.url("/a")], path) == hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert [request.status for request in server.requests] == [200]


def put_partial(path, url, part, validator=MODIFIED, total=300_000):
    path.parent.mkdir(exist_ok=True)
    Path(f"{path}.part").write_bytes(part)
    Path(f"{path}.part.json").write_text(json.dumps({"url": url, "validator": validator, "total": total}))


@pytest.mark.parametrize("options", [{}, PINNED])
def test_a_partial_file_longer_than_the_file_or_of_another_size_starts_over(path, options):
    with serve() as server:
        put_partial(path, server.url("/a"), CONTENT + b"x", f'"{SHA256[:16]}"')
        assert fetch([server.url("/a")], path, **options) == SHA256
        path.unlink()
        put_partial(path, server.url("/a"), CONTENT[:9], f'"{SHA256[:16]}"', total=10)
        assert fetch([server.url("/a")], path, **options) == SHA256
    assert ranges(server) == ([None, None] if options else [None, "bytes=9-", None]) and path.read_bytes() == CONTENT


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": "http'])
def test_half_a_note_counts_as_none(path, note):
    with serve() as server:
        put_partial(path, server.url("/a"), b"rubbish")
        Path(f"{path}.part.json").write_text(note)
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == [None] and left(path) == ["a.zip"]


def test_a_partial_file_goes_on_at_its_own_url_and_at_no_other(path):
    with serve() as server:
        break_off(server, path, **PINNED)
        assert fetch([server.url("/b"), server.url("/a")], path, **PINNED) == SHA256
        assert [request.path for request in server.requests] == ["/a"] and ranges(server) == ["bytes=100000-"]
        path.unlink()
        break_off(server, path, **PINNED)
        assert fetch([server.url("/b")], path, **PINNED) == SHA256
    assert ranges(server, "/b") == [None]


def test_a_partial_file_of_a_url_that_is_gone_is_not_kept(path):
    with serve() as server:
        break_off(server, path)
        with pytest.raises(BadInput, match=r"HTTP 404\): try later"):
            fetch([server.url("/none")], path)
    assert left(path) == []


def test_a_partial_file_that_is_whole_needs_no_request(path):
    put_partial(path, "http://127.0.0.1:9/a", CONTENT)
    assert fetch(["http://127.0.0.1:9/a"], path, **PINNED) == SHA256
    assert path.read_bytes() == CONTENT and left(path) == ["a.zip"]


def test_a_body_that_ends_with_the_connection_is_measured_by_the_stated_size(path):
    none = {"Content-Length": None}
    with serve(Fault(headers=none, drop=100_000), otherwise=Fault(headers=none)) as server:
        assert fetch([server.url("/a")], path, size=len(CONTENT)) == SHA256
    assert ranges(server) == [None, "bytes=100000-"]


def test_a_body_without_length_is_taken_whole_or_not_at_all(path):
    with serve(Fault(chunked=True, drop=70_000), otherwise=Fault(chunked=True)) as server:
        assert fetch([server.url("/a")], path) == SHA256
    assert ranges(server) == [None, "bytes=70000-"] and path.read_bytes() == CONTENT


def test_a_second_process_ends_in_one_line(path):
    with serve(Fault(stall=(100_000, 150))) as server:
        first = threading.Thread(target=fetch, args=([server.url("/a")], path))
        first.start()
        while not server.requests:
            time.sleep(0.001)
        with pytest.raises(BadInput, match="being fetched by another process"):
            fetch([server.url("/a")], path)
        first.join()
        assert fetch([server.url("/a")], path) == SHA256
    assert len(server.requests) == 1 and left(path) == ["a.zip"]


def test_a_file_that_another_process_finished_just_now_is_taken(path, monkeypatch):
    @contextlib.contextmanager
    def finish(*_):
        path.parent.mkdir()
        path.write_bytes(CONTENT)
        yield

    monkeypatch.setattr(download, "alone", finish)
    assert fetch([], path) == SHA256


def start(url, path):
    code = "import sys; from semimed import download; print(download.fetch([sys.argv[1]], sys.argv[2]))"
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW)}
    return subprocess.Popen([sys.executable, "-c", code, url, str(path)], env=environment, stdout=subprocess.PIPE, text=True)


def test_a_killed_process_is_resumed_by_the_next(path):
    with serve(Fault(stall=(100_000, 60_000))) as server:
        process = start(server.url("/a"), path)
        part = Path(f"{path}.part")
        while not part.exists() or part.stat().st_size < 90_000:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        came = part.stat().st_size
        assert all(name.startswith("a.zip.part") for name in left(path))
        process = start(server.url("/a"), path)
        assert process.communicate()[0].strip() == SHA256 and process.returncode == 0
    assert ranges(server) == [None, f"bytes={came}-"] and path.read_bytes() == CONTENT and left(path) == ["a.zip"]


@pytest.mark.parametrize("options, kinds", [(PINNED, EVERY), ({}, HONEST)], ids=["pinned", "unpinned"])
def test_whatever_happens_the_file_is_right_or_absent(path, monkeypatch, options, kinds):
    monkeypatch.setattr(download, "READ_SECONDS", 0.1)
    ends = []
    for seed in range(40):
        faults = random_faults(seed, 0.7, kinds, len(CONTENT))
        with FlakyServer({"/a": CONTENT, "/b": CONTENT}, faults) as server:
            for _ in range(2):
                try:
                    assert fetch([server.url("/a"), server.url("/b")], path, progress=False, **options) == SHA256
                    assert path.read_bytes() == CONTENT and left(path) == ["a.zip"]
                    ends.append("right")
                    break
                except BadInput as error:
                    assert not path.exists() and "\n" not in str(error) and str(path) in str(error)
                    assert left(path) in ([], ["a.zip.part", "a.zip.part.json"])
                    ends.append("absent")
        shutil.rmtree(path.parent)
    assert ends.count("right") > 10 and ends.count("absent") > 1
