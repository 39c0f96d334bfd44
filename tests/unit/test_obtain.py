"""From the files of a data set's configuration to its raw folder, whole or not at all."""

import hashlib
import io
import json
import zipfile

import pytest
from flaky_server import FlakyServer
from semimed import download
from semimed import obtain as obtaining
from semimed.acquire import acquire
from semimed.datasets import load
from semimed.errors import BadInput
from semimed.locks import alone
from semimed.obtain import obtain, source_files

SMALL = {"cases": 3, "shape": [40, 36, 16], "seed": 1}
TERMS = {"title": "Hearts", "licence": "CC BY-NC 4.0", "citation": "Somebody 2020", "by_hand": "Ask somebody."}
LIMITS = {"bytes": 10**7, "files": 50}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(download, "BACK_OFF", 0.001)


def zipped(**files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def facts(server, *names, **files):
    """Facts of a set whose files ``names`` are at the server; ``files`` adds to or makes entries of them."""
    entries = {
        name: {"urls": [server.url(f"/{name}")]} | ({"unpack": LIMITS} if name.endswith(".zip") else {}) for name in names
    }
    return TERMS | {"files": entries | files}


def places(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_archives_and_plain_files_make_one_folder(tmp_path, caplog):
    served = {"/a.zip": zipped(**{"images/1": "one", "images/2": "two"}), "/b.csv": b"1,2\n"}
    (tmp_path / "raw").mkdir()
    with FlakyServer(served) as server, caplog.at_level("INFO"):
        obtain("hearts", facts(server, "a.zip", "b.csv"), tmp_path / "raw" / "hearts", tmp_path / "downloads")
    assert places(tmp_path / "raw") == [f"hearts/{name}" for name in ("b.csv", "downloaded.json", "images/1", "images/2")]
    record = json.loads((tmp_path / "raw" / "hearts" / "downloaded.json").read_text())
    assert [line["name"] for line in record] == ["a.zip", "b.csv"]
    assert record[1]["sha256"] == hashlib.sha256(b"1,2\n").hexdigest() and record[1]["size"] == 4
    assert places(tmp_path / "downloads") == ["hearts.sha256", "hearts/a.zip", "hearts/b.csv"]
    assert "Hearts is used under these terms: CC BY-NC 4.0" in caplog.text and "to be cited: Somebody 2020" in caplog.text


def test_a_series_is_many_files(tmp_path):
    given = {"urls": ["http://x/case_{n:05}.gz"], "into": "data/case_{n:05}/imaging.gz", "count": 3}
    files = source_files(TERMS | {"files": {"case_{n:05}.gz": given}})
    assert [(file.name, file.urls, file.into) for file in files][2] == (
        "case_00002.gz",
        ("http://x/case_00002.gz",),
        "data/case_00002/imaging.gz",
    )
    assert len(files) == 3


def test_the_first_checksum_is_recorded_and_checked_ever_after(tmp_path):
    raw, downloads = tmp_path / "raw", tmp_path / "downloads"
    with FlakyServer({"/a.zip": zipped(x="one")}) as server:
        obtain("hearts", facts(server, "a.zip"), raw, downloads)
    (downloads / "hearts" / "a.zip").unlink()
    other = tmp_path / "other"
    with (
        FlakyServer({"/a.zip": zipped(x="two")}) as server,
        pytest.raises(BadInput, match=r"a\.zip.*first download, in .*hearts\.sha256: delete its line"),
    ):
        obtain("hearts", facts(server, "a.zip"), other, downloads)
    assert not other.exists() and places(downloads) == ["hearts.sha256"]
    (downloads / "hearts.sha256").unlink()
    with FlakyServer({"/a.zip": zipped(x="two")}) as server:
        obtain("hearts", facts(server, "a.zip"), other, downloads)
    assert (other / "x").read_text() == "two"


def test_files_put_there_by_hand_are_verified_and_unpacked(tmp_path):
    content = zipped(x="one")
    entry = {"urls": [], "unpack": LIMITS, "sha256": hashlib.sha256(content).hexdigest()}
    known, downloads = TERMS | {"files": {"a.zip": entry}}, tmp_path / "downloads"
    with pytest.raises(BadInput) as caught:
        obtain("hearts", known, tmp_path / "raw", downloads)
    for part in ("no raw data for hearts", "Ask somebody.", f"put a.zip into {downloads / 'hearts'}", "`raw: hearts:`"):
        assert part in str(caught.value)
    (downloads / "hearts").mkdir(parents=True)
    (downloads / "hearts" / "a.zip").write_bytes(zipped(x="two"))
    with pytest.raises(BadInput, match=r"a\.zip is not the stated file"):
        obtain("hearts", known, tmp_path / "raw", downloads)
    assert not (tmp_path / "raw").exists()
    (downloads / "hearts" / "a.zip").write_bytes(content)
    obtain("hearts", known, tmp_path / "raw", downloads)
    assert places(tmp_path / "raw") == ["downloaded.json", "x"]


def test_one_bad_archive_leaves_no_folder(tmp_path):
    served = {"/a.zip": zipped(x="one"), "/b.zip": zipped(**{"../y": "two"})}
    (tmp_path / "raw").mkdir()
    with FlakyServer(served) as server, pytest.raises(BadInput, match=r"b\.zip"):
        obtain("hearts", facts(server, "a.zip", "b.zip"), tmp_path / "raw" / "hearts", tmp_path / "downloads")
    assert places(tmp_path) == ["downloads/hearts/a.zip"]  # the next start gets the other one again
    assert list((tmp_path / "raw").iterdir()) == []


def test_the_first_checksum_is_recorded_as_soon_as_a_plain_file_is_there(tmp_path):
    with FlakyServer({"/a.csv": b"one"}) as server, pytest.raises(BadInput, match=r"b\.csv .*HTTP 404"):
        obtain("hearts", facts(server, "a.csv", "b.csv"), tmp_path / "raw", tmp_path / "downloads")
    line = f"{hashlib.sha256(b'one').hexdigest()}  a.csv\n"
    assert (tmp_path / "downloads" / "hearts.sha256").read_text() == line
    (tmp_path / "downloads" / "hearts" / "a.csv").write_bytes(b"two")
    with FlakyServer({"/b.csv": b"two"}) as server, pytest.raises(BadInput, match=r"a\.csv is not the stated file"):
        obtain("hearts", facts(server, "a.csv", "b.csv"), tmp_path / "raw", tmp_path / "downloads")


def test_a_damaged_ledger_is_one_line(tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "hearts.sha256").write_text("12ab  a.csv\n")
    with (
        FlakyServer({"/a.csv": b"one"}) as server,
        pytest.raises(BadInput, match=r"line '12ab a\.csv' in .*: a SHA-256.*delete it"),
    ):
        obtain("hearts", facts(server, "a.csv"), tmp_path / "raw", tmp_path / "downloads")


def test_what_the_user_put_there_meanwhile_stays(tmp_path, monkeypatch):
    def slow(*given):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "mine.txt").write_text("keep")
        extract(*given)

    extract = obtaining.extract
    monkeypatch.setattr(obtaining, "extract", slow)
    with FlakyServer({"/a.zip": zipped(x="one")}) as server, pytest.raises(BadInput, match="raw has appeared meanwhile"):
        obtain("hearts", facts(server, "a.zip"), tmp_path / "raw", tmp_path / "downloads")
    assert places(tmp_path / "raw") == ["mine.txt"]


def test_one_process_at_a_time_makes_a_raw_folder(tmp_path):
    with FlakyServer({"/a.zip": zipped(x="one")}) as server:
        given = "hearts", facts(server, "a.zip"), tmp_path / "raw", tmp_path / "downloads"
        with alone(tmp_path / ".raw.lock", "the other one"), pytest.raises(BadInput, match="being made by another process"):
            obtain(*given)
        obtain(*given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads", "raw"]


def test_a_place_that_is_not_there_is_not_made(tmp_path):
    with FlakyServer({}) as server, pytest.raises(BadInput, match=r"no folder .*unmounted for the raw"):
        obtain("hearts", facts(server, "a.zip"), tmp_path / "unmounted" / "raw", tmp_path / "downloads")
    assert not server.requests


def test_raw_data_made_from_another_file_is_not_used(tmp_path):
    la, where = load("la"), (tmp_path / "source.json", tmp_path / "none", tmp_path / "downloads")
    la.write_phantom(tmp_path / "phantom", SMALL)
    content = zipped(**{name: (tmp_path / "phantom" / name).read_bytes() for name in places(tmp_path / "phantom")})
    with FlakyServer({"/la.zip": content}) as server:
        known = facts(server, "la.zip")
        (tmp_path / "raw").mkdir()  # an empty folder is none
        acquire(la, known, str(tmp_path / "raw"), *where)
        for stated in ({"sha256": "0" * 64}, {"size": 5}):
            entry = known["files"]["la.zip"] | stated
            with pytest.raises(BadInput, match=rf"raw was made from another la\.zip \({next(iter(stated))} .*: move .* away"):
                acquire(la, TERMS | {"files": {"la.zip": entry}}, str(tmp_path / "raw"), *where)
        (tmp_path / "raw" / "downloaded.json").write_text("{")
        with pytest.raises(BadInput, match=r"unreadable .*downloaded\.json"):
            acquire(la, known, str(tmp_path / "raw"), *where)


def test_acquire_gets_what_is_missing_and_says_where_it_came_from(tmp_path):
    la = load("la")
    la.write_phantom(tmp_path / "phantom", SMALL)
    files = {name: (tmp_path / "phantom" / name).read_bytes() for name in places(tmp_path / "phantom")}
    content = zipped(**{f"Training Set/{name}": content for name, content in files.items()})
    where = tmp_path / "source.json", tmp_path / "none", tmp_path / "downloads"
    with FlakyServer({"/la.zip": content}) as server:
        acquire(la, facts(server, "la.zip"), str(tmp_path / "raw"), *where)
        asked = len(server.requests)
        acquire(la, facts(server, "la.zip"), str(tmp_path / "raw"), *where)
        assert len(server.requests) == asked
    told = json.loads((tmp_path / "source.json").read_text())
    assert told["number"] == 3 and told["files"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["files"][0]["urls"][0].endswith("la.zip") and told["licence"] == "CC BY-NC 4.0"


def test_a_file_in_the_place_of_the_raw_folder(tmp_path):
    (tmp_path / "raw").write_text("x")
    with pytest.raises(BadInput, match=r"raw is a file: name the folder of la under `raw:`"):
        acquire(load("la"), TERMS | {"files": {}}, str(tmp_path / "raw"), tmp_path / "s.json", tmp_path / "p", tmp_path / "d")
