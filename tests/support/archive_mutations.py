"""Damaged and hostile archives, made out of a good one.

``mutations(archive_bytes, kind, seed, count)`` yields (name, bytes) of ``count`` mutants; ``kind`` is ``zip``, ``tar``,
``tar.gz`` or ``rar`` (RAR5). The ways of ``WAYS`` take turns, so twelve mutants hold each of a kind once; equal arguments give
equal mutants. A mutant's name is ``<kind>-<number>-<way>``.

Whoever unpacks a mutant must end in the files of the original, with equal contents, or in a refusal, if
- the limit on the bytes is below ``BOMB_BYTES``, because some bombs are honest;
- the original has two files or more, none of them empty, and names of 5 to 99 characters.
What a plain tar holds is never changed, only its headers: it has no checksum of the content.
"""

import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile
import zlib

import rarfile
from rar_writer import RAR5, RarMember, file5, seal5

BOMB_BYTES = 1 << 22
MAGIC = (b"PK\x03\x04", b"Rar!\x1a\x07\x00", RAR5, b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c")
PREFIXES = (b"../", b"/", b"C:", b"a\\", b"a\x01")


def mutations(archive_bytes: bytes, kind: str, seed: int, count: int):
    """Yield (name, bytes) of ``count`` mutants of an archive of ``kind``; see the module."""
    dice = random.Random(f"{kind} {seed}")
    ways = list(WAYS[kind].items())
    for number in range(count):
        name, way = ways[number % len(ways)]
        yield f"{kind}-{number:03d}-{name}", way(archive_bytes, dice)


def truncated(data, dice):
    return data[: dice.randrange(1, len(data))]


def garbage(data, dice):
    return dice.choice((b"", *MAGIC)) + dice.randbytes(dice.randrange(1, 4096))


def magic_of_another(data, dice):
    magic = dice.choice([magic for magic in MAGIC if not data.startswith(magic)])
    return magic + data[len(magic) :]


def header_flipped(spans):
    """Flip one to eight bits in one byte of one of the headers that ``spans(data)`` gives as (start, end)."""

    def way(data, dice):
        place = dice.randrange(*dice.choice(spans(data)))
        return _patched(data, place, bytes([data[place] ^ dice.randrange(1, 256)]))

    return way


def header_zeroed(spans):
    """Fill one of the headers but the last with zeros."""

    def way(data, dice):
        start, end = dice.choice(spans(data)[:-1])
        return _patched(data, start, bytes(end - start))

    return way


def _patched(data, place, new):
    return data[:place] + new + data[place + len(new) :]


# --- zip: local headers before the members, a central directory of records behind them, an end record ---


def _zip_records(data):
    """(start of the central record, of the local header, of the names in both, length of the name) of all members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        place, records = archive.start_dir, []
        for info in archive.infolist():
            name, extra, comment = struct.unpack_from("<HHH", data, place + 28)
            records.append((place, info.header_offset, place + 46, info.header_offset + 30, name))
            place += 46 + name + extra + comment
    return records


def zip_spans(data):
    records = _zip_records(data)
    local = [(place, name + length) for _, place, _, name, length in records]
    central = [(place, name + length) for place, _, name, _, length in records]
    return [*local, *central, (data.rindex(b"PK\x05\x06"), len(data))]


def zip_directory_zeroed(data, dice):
    start, end = _zip_records(data)[0][0], data.rindex(b"PK\x05\x06")
    return _patched(data, start, bytes(end - start))


def zip_wrong_size(data, dice):
    """Change the packed (+20) or unpacked (+24) size in a central record."""
    field = dice.choice(_zip_records(data))[0] + dice.choice((20, 24))
    size = struct.unpack_from("<L", data, field)[0]
    sizes = {0, size // 2, size + 1, 2 * size + 9, 1 << 31, 0xFFFFFFFE, 0xFFFFFFFF} - {size}
    return _patched(data, field, struct.pack("<L", dice.choice(sorted(sizes))))


def zip_headers_swapped(data, dice):
    """Two central records point at each other's member."""
    one, two = dice.sample(_zip_records(data), 2)
    data = _patched(data, one[0] + 42, struct.pack("<L", two[1]))
    return _patched(data, two[0] + 42, struct.pack("<L", one[1]))


def zip_traversal(data, dice):
    record, prefix = dice.choice(_zip_records(data)), dice.choice(PREFIXES)
    return _patched(_patched(data, record[2], prefix), record[3], prefix)


def zip_link(data, dice):
    """A member's external attributes (+38) say that it is a link, a pipe or a device."""
    kind = dice.choice((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK))
    return _patched(data, dice.choice(_zip_records(data))[0] + 38, struct.pack("<L", (kind | 0o777) << 16))


def zip_bomb(data, dice):
    """One member of ``BOMB_BYTES`` zeros; every other time its header claims a thousand, with their checksum."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bin", bytes(BOMB_BYTES))
    data = blob.getvalue()
    record = _zip_records(data)[0][0]
    if dice.random() < 0.5:
        data = _patched(data, record + 16, struct.pack("<L", zlib.crc32(bytes(1000))))
        data = _patched(data, record + 24, struct.pack("<L", 1000))
    return data


# --- tar: blocks of 512 bytes; a header holds the sum of its bytes ---


def tar_spans(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(member.offset_data - 512, member.offset_data) for member in archive]


def _tar_patched(data, header, place, new):
    """Patch a header and renew its sum (eight bytes at 148, counted as blanks)."""
    data = _patched(data, header + place, new)
    block = _patched(data[header : header + 512], 148, b" " * 8)
    return _patched(data, header + 148, b"%06o\x00 " % sum(block))


def tar_wrong_size(data, dice):
    """8 GiB, minus one, minus two blocks (which leads back to this very header), more than any disk."""
    size = dice.choice((b"77777777777\x00", b"\xff" * 12, b"\xff" * 10 + b"\xfc\x00", b"\x80" + b"\xff" * 11))
    return _tar_patched(data, dice.choice(tar_spans(data))[0], 124, size)


def tar_traversal(data, dice):
    return _tar_patched(data, dice.choice(tar_spans(data))[0], 0, dice.choice(PREFIXES))


def tar_link(data, dice):
    """A header's type (156) becomes a hard or symbolic link, a device, a pipe or a sparse file."""
    return _tar_patched(
        data, dice.choice(tar_spans(data))[0], 156, dice.choice((b"1", b"2", b"3", b"4", b"6", b"S")) + b"../out"
    )


def tar_bomb(data, dice):
    """A first member of ``BOMB_BYTES`` zeros, or as many of junk that is skipped while the archive is looked through."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as archive:
        member = tarfile.TarInfo(dice.choice(("bomb.bin", "._bomb.bin")))
        member.size = BOMB_BYTES
        archive.addfile(member, io.BytesIO(bytes(BOMB_BYTES)))
    return blob.getvalue()


def compressed(way):
    """Apply a way to what a tar.gz holds."""
    return lambda data, dice: gzip.compress(way(gzip.decompress(data), dice), mtime=0)


# --- RAR5: blocks of a checksum, a size, fields and data ---


def _rar_blocks(data):
    """rarfile's descriptions of all blocks in their order."""
    blocks = []
    rarfile.RarFile(io.BytesIO(data), info_callback=blocks.append)
    return blocks


def rar_spans(data):
    return [(block.header_offset, block.header_offset + block.header_size) for block in _rar_blocks(data)]


def _rar_inserted(member):
    """A member more, before the others."""

    def way(data, dice):
        start = _rar_blocks(data)[1].header_offset
        return data[:start] + file5(member(dice)) + data[start:]

    return way


def rar_traversal(data, dice):
    block = dice.choice([block for block in _rar_blocks(data) if block.type == rarfile.RAR_BLOCK_FILE])
    start, end = block.header_offset, block.header_offset + block.header_size
    name = data.index(block.orig_filename, start)
    return _patched(data, start, seal5(_patched(data, name, dice.choice(PREFIXES))[start + 4 : end]))


rar_wrong_size = _rar_inserted(lambda dice: RarMember("more.bin", b"12345", size=dice.choice((0, 4, 6, 1000))))
rar_bomb = _rar_inserted(lambda dice: RarMember("bomb.bin", b"12345", size=BOMB_BYTES << dice.randrange(32)))
rar_link = _rar_inserted(
    lambda dice: (
        RarMember("link", link=(dice.choice(("symbolic", "junction", "hard", "copy")), "../out"))
        if dice.random() < 0.7
        else RarMember("pipe", mode=dice.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFLNK)))
    )
)


EMPTY = {"empty": lambda data, dice: b""}
COMMON = EMPTY | {"truncated": truncated, "garbage": garbage, "magic-of-another": magic_of_another}
anywhere_flipped = header_flipped(lambda data: [(0, len(data))])
TAR = {"wrong-size": tar_wrong_size, "traversal": tar_traversal, "link": tar_link, "bomb": tar_bomb}
TAR |= {"header-zeroed": header_zeroed(tar_spans)}
GZIP = {"header-flipped": header_flipped(lambda data: [(0, 10), (len(data) - 8, len(data))]), "flipped": anywhere_flipped}
ZIP = {"flipped": anywhere_flipped, "directory-zeroed": zip_directory_zeroed, "headers-swapped": zip_headers_swapped}
ZIP |= {"header-flipped": header_flipped(zip_spans), "wrong-size": zip_wrong_size}
RAR = {"flipped": anywhere_flipped, "header-zeroed": header_zeroed(rar_spans)}
RAR |= {"header-flipped": header_flipped(rar_spans), "wrong-size": rar_wrong_size}
WAYS = {
    "zip": COMMON | ZIP | {"traversal": zip_traversal, "link": zip_link, "bomb": zip_bomb},
    "tar": COMMON | {"header-flipped": header_flipped(tar_spans)} | TAR,
    "tar.gz": COMMON | GZIP | {name: compressed(way) for name, way in TAR.items()},
    "rar": COMMON | RAR | {"traversal": rar_traversal, "link": rar_link, "bomb": rar_bomb},
}
