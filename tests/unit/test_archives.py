"""Unpacking archives: good ones give their tree; from those that break a rule nothing is written, and one line says why."""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib

import pytest
from archive_files import FILES, FORMATS, packed, refusal, tarred, unpacked, zipped
from rar_writer import RarMember, rar4, rar5


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_gives_its_tree(tmp_path, compress, form):
    far = "long/" * 25 + "name"
    members = [("./", b""), ("./images/", b""), *FILES.items(), (f"./{far}", b"far"), ("empty.txt", b"")]
    assert unpacked(tmp_path, compress(tarred(members, format=form))) == {**FILES, far: b"far", "empty.txt": b""}


@pytest.mark.parametrize("form", FORMATS)
def test_empty_folders_and_files_are_written_and_a_folder_may_come_twice(tmp_path, form):
    twice = [] if form == "zip" else [("empty/", b"")]
    members = [("empty/", b""), *twice, *FILES.items(), ("images/", b""), ("empty.txt", b"")]
    assert unpacked(tmp_path, packed(form, members)) == {**FILES, "empty.txt": b""}
    assert (tmp_path / "out" / "empty").is_dir()


@pytest.mark.parametrize("form", [*FORMATS, "stored zip"])
def test_members_larger_than_one_piece_give_their_tree(tmp_path, form):
    members = {"large.bin": bytes(range(256)) * 10_000, **FILES}.items()
    data = zipped(members, zipfile.ZIP_STORED) if form == "stored zip" else packed(form, members)
    assert unpacked(tmp_path, data, most_bytes=1 << 22) == dict(members)


def test_permissions_times_and_owners_are_the_usual_ones(tmp_path):
    entry, member = zipfile.ZipInfo("run"), tarfile.TarInfo("run")
    entry.external_attr = (stat.S_IFREG | 0o6777) << 16
    member.mode, member.uid, member.mtime = 0o6777, 12345, 1
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat()
    rar = rar5([RarMember("run", b"x", mode=stat.S_IFREG | 0o6777)])
    for place, data in (("zip", zipped([(entry, b"x")])), ("tar", tarred([(member, b"x")])), ("rar", rar)):
        (tmp_path / place).mkdir()
        unpacked(tmp_path / place, data)
        found = (tmp_path / place / "out" / "run").stat()
        assert (found.st_mode, found.st_uid) == (usual.st_mode, usual.st_uid)
        assert found.st_mtime >= usual.st_mtime


@pytest.mark.parametrize("form", FORMATS)
def test_what_macos_adds_is_left_out(tmp_path, form):
    junk = [("__MACOSX/", b""), ("__MACOSX/._a", b"x"), ("b/.DS_Store", b"x"), ("b/._c", b"x" * 2000)]
    assert unpacked(tmp_path, packed(form, [*junk, ("b/c", b"1")]), most_bytes=10, most_files=1) == {"b/c": b"1"}
    assert not (tmp_path / "out" / "__MACOSX").exists()


NAMES = {
    **{"../x": "path out", "a/../../x": "path out", "a/..": "path out", "..": "path out", "__MACOSX/../../x": "path out"},
    **{"/x": "absolute path", "//x": "absolute path", "C:/x": "absolute path", "c:x": "absolute path"},
    **{"a\tb": "control character", "a\x1bb": "control character", "a\x7f": "control character"},
    **{"a//b": "empty name", ".": "empty name"},
    **{"n" * 256: "too long", "ü" * 128: "too long", "d/" * 40 + "x": "too deep", "/".join(["n" * 200] * 5): "too long"},
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_bad_names_are_refused(tmp_path, form, name):
    line = refusal(tmp_path, packed(form, [("good.txt", b"1"), (name, b"2")]))
    assert NAMES[name] in line and f"(member {name[:200]!r})" in line


def test_backslashes_are_refused(tmp_path):
    for name in ("a\\b", "..\\b", "\\b"):
        for form in ("zip", "tar", "rar5"):
            assert "a backslash" in refusal(tmp_path, packed(form, [("good.txt", b"1"), (name, b"2")]))
    # a RAR4 name has backslashes for slashes
    assert "path out" in refusal(tmp_path, packed("rar4", [("good.txt", b"1"), ("..\\x", b"2")]))


def test_zero_bytes_in_names_are_refused(tmp_path):
    members = [("good.txt", b"1"), ("a_txt", b"2")]
    assert "control character" in refusal(tmp_path, zipped(members).replace(b"a_txt", b"a\x00txt"))
    member = tarfile.TarInfo("a.txt")
    member.pax_headers = {"path": "a\x00txt"}
    assert "control character" in refusal(tmp_path, tarred([members[0], (member, b"2")]))


def test_names_that_are_no_utf8_are_refused(tmp_path):
    assert "broken UTF-8" in refusal(tmp_path, tarred([("a\udcff", b"2")], format=tarfile.GNU_FORMAT, encoding="utf-8"))
    assert "can't decode" in refusal(tmp_path, zipped([("ü.txt", b"2")]).replace("ü".encode(), b"\xff\xff"))


def zip_member(mode):
    member = zipfile.ZipInfo("odd")
    member.external_attr = (mode | 0o777) << 16
    return zipped([("good.txt", b"1"), (member, b"../../target")])


def tar_member(kind, linkname="../../target"):
    member = tarfile.TarInfo("odd")
    member.type, member.linkname = kind, linkname
    return tarred([("good.txt", b"1"), (member, b"")])


def rar_member(write=rar5, **attributes):
    return write([RarMember("good.txt", b"1"), RarMember("odd", b"../../target", **attributes)])


KINDS = {"pipe": stat.S_IFIFO, "device": stat.S_IFCHR, "disk": stat.S_IFBLK, "socket": stat.S_IFSOCK}
ODD = {
    "zip-link": zip_member(stat.S_IFLNK),
    "tar-link": tar_member(tarfile.SYMTYPE),
    "tar-hard-link": tar_member(tarfile.LNKTYPE, "good.txt"),
    "rar4-link": rar_member(rar4, link=("symbolic", "../../target")),
    "rar5-mode-link": rar_member(mode=stat.S_IFLNK | 0o777),
    **{f"rar5-{kind}-link": rar_member(link=(kind, "good.txt")) for kind in ("symbolic", "junction", "hard", "copy")},
    **{f"zip-{name}": zip_member(mode) for name, mode in KINDS.items()},
    **{f"rar4-{name}": rar_member(rar4, mode=mode) for name, mode in KINDS.items()},
    **{f"rar5-{name}": rar_member(mode=mode) for name, mode in KINDS.items()},
    "tar-pipe": tar_member(tarfile.FIFOTYPE),
    "tar-device": tar_member(tarfile.CHRTYPE),
    "tar-disk": tar_member(tarfile.BLKTYPE),
    "rar4-encrypted": rar_member(rar4, encrypted=True),
    "rar5-encrypted": rar_member(encrypted=True),
}


@pytest.mark.parametrize("case", ODD)
def test_links_devices_and_encrypted_members_are_refused(tmp_path, case):
    fault = "a link" if "link" in case else "an encrypted member" if "encrypted" in case else "a device, pipe or socket"
    assert f"{fault} (member 'odd')" in refusal(tmp_path, ODD[case])


@pytest.mark.parametrize("bit", [0x1, 0x40])
def test_encrypted_zip_members_are_refused(tmp_path, bit):
    data = bytearray(zipped([("good.txt", b"1")]))
    data[data.index(b"PK\x01\x02") + 8] |= bit
    assert "an encrypted member (member 'good.txt')" in refusal(tmp_path, bytes(data))


def test_encrypted_rar_headers_are_refused(tmp_path):
    data = packed("rar4", [])
    main = data.index(b"\x73\x00\x00\x0d")  # kind, flags, size
    header = b"\x73\x80\x00" + data[main + 3 : main + 11]
    data = data[: main - 2] + zlib.crc32(header).to_bytes(4, "little")[:2] + header
    assert "encrypted headers" in refusal(tmp_path, data)


PLACES = {
    "two of one name": ["a/b.txt", "a/b.txt"],
    "names that differ in case": ["a/b.txt", "a/B.TXT"],
    "folders that differ in case": ["a/b.txt", "A/c.txt"],
    "names that differ in Unicode form": ["m\u00fcller.txt", "mu\u0308ller.txt"],
    "a dot more": ["a/b.txt", "a/./b.txt"],
    "a file where a folder is needed": ["a", "a/b.txt"],
    "a folder where a file is": ["a/b.txt", "a"],
    "a folder member where a file is": ["a", "a/"],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", PLACES)
def test_two_members_in_one_place_are_refused(tmp_path, form, case):
    members = [(name, b"" if name.endswith("/") else b"1") for name in PLACES[case]]
    line = refusal(tmp_path, packed(form, members))
    assert "which another member takes" in line


@pytest.mark.parametrize("form", FORMATS)
def test_limits_hold_before_anything_is_written(tmp_path, form):
    members = [(f"folder/{name}", bytes(100)) for name in "abc"]
    assert "more than 299 bytes unpacked (member 'folder/c')" in refusal(tmp_path, packed(form, members), most_bytes=299)
    assert "more than 2 files" in refusal(tmp_path, packed(form, members), most_files=2)
    folders = [(f"{number}/", b"") for number in range(120)]
    assert "far more folders" in refusal(tmp_path, packed(form, [*members, *folders]), most_files=3)
    junk = [(f"._{number}", b"") for number in range(120)]
    assert "far more folders" in refusal(tmp_path, packed(form, [*members, *junk]), most_files=3)
    assert len(unpacked(tmp_path, packed(form, members), most_bytes=300, most_files=3)) == 3
