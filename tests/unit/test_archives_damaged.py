"""Unpacking damaged and lying archives: one line, nothing outside the folder, no endless loop, no full memory."""

import bz2
import gzip
import lzma
import shutil
import struct
import tarfile
import time
import zipfile
from collections import Counter

import pytest
import rarfile
from archive_files import FILES, FORMATS, packed, refusal, tarred, unpacked, zipped
from archive_mutations import mutations
from rar_writer import RAR5, RarMember, rar4, rar5, seal5
from semimed.archives import extract
from semimed.errors import BadInput

COMPRESSORS = [gzip.compress, bz2.compress, lzma.compress]


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html>\n<html>", b"\x1f", b"PK\x05\x06" + bytes(18), bytes(2048)])
def test_what_is_no_archive_is_refused_by_its_content(tmp_path, data):
    assert f"neither zip, tar nor rar, but {data[:16]!r}" in refusal(tmp_path, data)


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_compressed_files_that_are_no_tar_are_refused(tmp_path, compress):
    assert "damaged content" in refusal(tmp_path, compress(b"an image" * 1000))
    assert "damaged content" in refusal(tmp_path, compress(b""))


@pytest.mark.parametrize("form", FORMATS)
def test_archives_without_files_are_refused(tmp_path, form):
    assert "no files" in refusal(tmp_path, packed(form, [("folder/", b""), ("__MACOSX/x", b"")]))


@pytest.mark.parametrize("form", [*FORMATS, *COMPRESSORS])
def test_truncated_archives_are_refused_wherever_they_end(tmp_path, form):
    data = packed(form, FILES.items()) if form in FORMATS else form(tarred(FILES.items()))
    if form == "tar":  # without the padding behind the first block of zeros, which may be lost
        data = data[: -(-len(data.rstrip(b"\0")) // 512) * 512 + 512]
    for end in sorted({*range(0, len(data), len(data) // 40), *range(len(data) - 30, len(data))}):
        refusal(tmp_path, data[:end], begun=True)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("form", ["zip", "rar4", "rar5", *COMPRESSORS])
def test_wrong_checksums_are_refused(tmp_path, form):
    text = b"abcdefgh" * 8
    if form == "zip":
        data = zipped([("a.txt", text)], zipfile.ZIP_STORED).replace(text, text[::-1])
    elif form in FORMATS:
        data = packed(form, [("a.txt", text)]).replace(text, text[::-1])
    else:
        data = bytearray(form(tarred([("a.txt", text)])))
        data[-6 if form is gzip.compress else len(data) // 2] ^= 1
    assert "damaged content" in refusal(tmp_path, bytes(data), begun=True)


def central(data, place, form, value):
    """A zip with a field of its first central record replaced."""
    start = data.index(b"PK\x01\x02") + place
    return data[:start] + struct.pack(form, value) + data[start + struct.calcsize(form) :]


def test_zip_kinds_that_cannot_be_read_are_left_to_the_hand(tmp_path):
    data = zipped([("a.txt", b"1")])
    for method in (9, 12, 14, 99):  # Deflate64, bzip2, LZMA, AES
        assert "unpack it by hand" in refusal(tmp_path, central(data, 10, "<H", method))
    assert "zip file version" in refusal(tmp_path, central(data, 6, "<H", 200))


def test_a_zip_that_lost_a_record_of_its_directory_is_refused(tmp_path):
    """The last record hides in the comment of the one before it; zipfile does not see that."""
    data = zipped([("a.txt", b"1"), ("b.txt", b"2")])
    assert "1 members instead of 2" in refusal(tmp_path, central(data, 32, "<H", 46 + len("b.txt")))


@pytest.mark.parametrize("claim", [0, 10, 1 << 20])
def test_zip_members_that_unpack_to_more_than_they_say_stop_at_once(tmp_path, claim):
    data = zipped([("bomb.bin", bytes(4 << 20))])
    lying = central(central(data, 24, "<L", claim), 16, "<L", zipfile.crc32(bytes(claim)))
    line = refusal(tmp_path, lying, begun=True)
    assert "member 'bomb.bin'" in line and ("more bytes" in line or "CRC" in line)
    assert (tmp_path / "out" / "bomb.bin").stat().st_size <= claim


def test_zip_members_that_share_their_bytes_are_refused(tmp_path):
    """Many records of one member: a bomb without nesting."""
    data = zipped([("a.bin", bytes(1000)), ("b.bin", bytes(1000))])
    shared = central(data, 42, "<L", data.rindex(b"PK\x03\x04"))
    assert "more than 1500 bytes" in refusal(tmp_path, shared, most_bytes=1500)
    assert "File name in directory" in refusal(tmp_path, shared, begun=True)


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_tar_bombs_stop_while_they_are_looked_through(tmp_path, compress):
    junk = compress(tarred([("._junk", bytes(4 << 20)), ("a.txt", b"1")]))
    assert len(junk) < 1 << 16
    assert "bytes decompressed" in refusal(tmp_path, junk, most_bytes=1000)
    assert "more than 1000 bytes unpacked" in refusal(tmp_path, compress(tarred([("bomb", bytes(1 << 20))])), most_bytes=1000)
    tail = compress(tarred([("a.txt", b"1")]) + bytes(4 << 20))
    assert "bytes decompressed" in refusal(tmp_path, tail, most_bytes=1000)


def pax(records, size=None):
    """An extended header before a file, with the records (bytes) as they stand."""
    header, member = tarfile.TarInfo("pax"), tarfile.TarInfo("a.txt")
    header.type, header.size, member.size = tarfile.XHDTYPE, len(records) if size is None else size, 1
    padding = bytes(-len(records) % 512)
    end = b"1" + bytes(511) + bytes(1024)
    return header.tobuf(tarfile.GNU_FORMAT) + records + padding + member.tobuf(tarfile.GNU_FORMAT) + end


SPARSE = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
TARS = {
    "good": (pax(b"12 mtime=12\n"), None),
    "negative size of a member": (pax(b"14 size=-1024\n"), "a size that cannot be"),
    "negative size of a header": (pax(b"", -512), "damaged content"),
    "header that leads back to itself": (pax(b"", -1024), "damaged content"),
    "long header": (pax(b"1" * 20000), "a header of 20480 bytes"),
    "header of 8 GiB": (pax(b"", 1 << 33), "a header of"),
    "slow header": (pax(b"1" * 8000), None),
    "number of 5000 digits": (pax(b"1" * 5000 + b" a=b\n"), "damaged content"),
    "record without length": (pax(b"0 a=b\n"), "damaged content"),
    "sparse map of nothing": (pax(SPARSE), "damaged content"),
    "sparse map of letters": (pax(b"26 GNU.sparse.map=a,b,c,d\n"), "damaged content"),
    "sparse file": (pax(b"22 GNU.sparse.map=0,1\n21 GNU.sparse.size=9\n"), "cannot be read here"),
    "chain of headers": (pax(b"12 mtime=12\n")[:1024] * 2000, "recursion"),
    "no end mark": (tarred([("a.txt", b"1")])[:1024], "no end mark"),
    "broken header": (tarred([("a.txt", b"1"), ("b.txt", b"2")]).replace(b"b.txt", b"c.txt"), "no end mark"),
    "content behind the end": (tarred([("a.txt", b"1")]) + b"x", "content behind the end mark"),
    "another archive behind the end": (tarred([("a.txt", b"1")]) * 2, "content behind the end mark"),
}


@pytest.mark.parametrize("case", TARS)
def test_tars_that_trouble_tarfile(tmp_path, case):
    data, fault = TARS[case]
    started = time.monotonic()
    if fault is None:
        assert unpacked(tmp_path, data) == {"a.txt": b"1"}
    else:
        assert fault in refusal(tmp_path, data)
    assert time.monotonic() - started < 5


RARS = {
    "no end mark, RAR5": (rar5([RarMember("a.txt", b"1")], end=False), "Unexpected EOF"),
    "no end mark, RAR4": (rar4([RarMember("a.txt", b"1")], end=False), "no end mark"),
    "unknown block": (rar5([RarMember("a.txt", b"1")])[:-8] + seal5(b"\x03\x1f\x00\x00"), "no end mark"),
    "one size too large": (rar5([RarMember("a.txt", b"1", size=2)]), "two sizes (member 'a.txt')"),
    "one size too small": (rar4([RarMember("a.txt", b"12", size=1)]), "two sizes (member 'a.txt')"),
    "huge size, RAR4": (rar4([RarMember("a.txt", b"12", size=1 << 40)]), "two sizes"),
    "huge header": (RAR5 + b"\0\0\0\0\xff\xff\xff\x7f", "damaged content"),
    "huge mode": (rar5([RarMember("a.txt", b"1", mode=1 << 60)]), None),
}


@pytest.mark.parametrize("case", RARS)
def test_rars_that_trouble_rarfile(tmp_path, case):
    data, fault = RARS[case]
    if fault is None:
        assert unpacked(tmp_path, data) == {"a.txt": b"1"}
    else:
        assert fault in refusal(tmp_path, data)


@pytest.fixture
def tool(tmp_path_factory, monkeypatch):
    """Have rarfile find one program only: a shell script with this way to print a member, or none."""

    def install(printing):
        script = tmp_path_factory.mktemp("programs") / "unrar"
        if printing:
            script.write_text(f'#!/bin/sh\ncase "$1" in p) {printing};; esac\n')
            script.chmod(0o755)
        for name in ("UNRAR_TOOL", "UNAR_TOOL", "BSDTAR_TOOL", "SEVENZIP_TOOL", "SEVENZIP2_TOOL"):
            monkeypatch.setattr(rarfile, name, str(script))
        monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)

    return install


@pytest.mark.parametrize("write", [rar4, rar5])
def test_compressed_rar_members_need_a_program(tmp_path, tool, write):
    data = write([RarMember("good.txt", b"1"), RarMember("a.txt", b"four", method=3)])
    tool("")
    line = refusal(tmp_path, data)
    assert "install one of unrar, unar, 7z or bsdtar, or unpack it by hand" in line
    tool("printf four")
    assert unpacked(tmp_path, data) == {"good.txt": b"1", "a.txt": b"four"}
    for place, printing in enumerate(("yes", "printf fou", "printf five", "exit 3", ":")):
        (tmp_path / str(place)).mkdir()
        tool(printing)
        assert "damaged content" in refusal(tmp_path / str(place), data, begun=True)


def test_what_cannot_be_written_ends_in_one_line(tmp_path):
    """Nor does an archive replace what another one wrote to the same folder."""
    (tmp_path / "a.zip").write_bytes(zipped([("b/c.txt", b"1")]))
    (tmp_path / "full" / "b").mkdir(parents=True)
    for old in ("file", "full/b/c.txt"):
        (tmp_path / old).write_bytes(b"old")
    for place, line in (("full", "a file in the place of .*a.zip holds too: "), ("file/x", "cannot write .*a.zip: free some")):
        with pytest.raises(BadInput, match=line):
            extract(tmp_path / "a.zip", tmp_path / place, 10, 10)
    assert (tmp_path / "file").read_bytes() == (tmp_path / "full" / "b" / "c.txt").read_bytes() == b"old"


@pytest.mark.parametrize(("kind", "count"), [("zip", 40), ("tar", 20), ("tar.gz", 20), ("rar", 40)])
def test_mutants_give_the_original_files_or_one_line(tmp_path, kind, count):
    files = {name.replace("ü", "u"): content for name, content in FILES.items()}
    members = [("images/", b""), *files.items()]
    good = packed({"rar": "rar5", "tar.gz": "tar"}.get(kind, kind), members)
    outcomes, slowest = Counter(), 0.0
    for name, data in mutations(gzip.compress(good) if kind == "tar.gz" else good, kind, seed=5, count=count):
        (tmp_path / name).mkdir()
        started = time.monotonic()
        try:
            assert unpacked(tmp_path / name, data) == files, name
            outcomes["unpacked"] += 1
        except BadInput as error:
            assert str(tmp_path / name) in str(error) and "\n" not in str(error)
            outcomes["refused"] += 1
        slowest = max(slowest, time.monotonic() - started)
    print(f"{kind}: {dict(outcomes)}, slowest {slowest:.2f} s")
    assert slowest < 5 and outcomes["refused"] >= count / 2 and sum(outcomes.values()) == count
    assert len(list(tmp_path.iterdir())) == count and not (tmp_path.parent / "out").exists()
