"""RAR archives of stored members, in the formats RAR5 and RAR4 (3.x), for tests: read without any program."""

import stat
import struct
import zlib
from dataclasses import dataclass

RAR4, RAR5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
LINKS = {"symbolic": 1, "junction": 3, "hard": 4, "copy": 5}


@dataclass
class RarMember:
    """One member; ``link`` is (a key of ``LINKS``, target); ``method`` 1 to 5 claims a compression; ``size`` lies."""

    name: str
    content: bytes = b""
    folder: bool = False
    mode: int | None = None
    link: tuple[str, str] | None = None
    encrypted: bool = False
    method: int = 0
    size: int | None = None
    crc: int | None = None

    def fields(self):
        """Unpacked size, checksum and Unix mode as the headers of both formats state them."""
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        mode = (stat.S_IFDIR | 0o755) if self.folder else (stat.S_IFREG | 0o644)
        return len(self.content) if self.size is None else self.size, crc, mode if self.mode is None else self.mode


def rar5(members, end=True):
    """The bytes of a RAR5 archive."""
    blocks = [RAR5, _block5(1, b"\x00"), *(file5(member) for member in members)]
    return b"".join([*blocks, _block5(5, b"\x00") if end else b""])


def rar4(members, end=True):
    """The bytes of a RAR 3.x archive; a symbolic link keeps its target as content."""
    blocks = [RAR4, _block4(0x73, 0, bytes(6)), *(_file4(member) for member in members)]
    return b"".join([*blocks, _block4(0x7B, 0x4000, b"") if end else b""])


def file5(member):
    """The block of one member: header and content."""
    size, crc, mode = member.fields()
    name = member.name.encode()
    body = _number(4 | member.folder) + _number(size) + _number(mode) + struct.pack("<L", crc)
    body += _number(member.method << 7) + _number(1) + _number(len(name)) + name  # host 1: Unix
    extra = b""
    if member.link:
        target = member.link[1].encode()
        record = _number(5) + _number(LINKS[member.link[0]]) + _number(0) + _number(len(target)) + target
        extra += _number(len(record)) + record
    if member.encrypted:
        record = _number(1) + _number(0) + _number(0) + b"\x0f" + bytes(32)  # AES-256, key count, salt and vector
        extra += _number(len(record)) + record
    return _block5(2, body, extra, member.content)


def seal5(header):
    """A RAR5 header (from its size on) with its checksum before it."""
    return struct.pack("<L", zlib.crc32(header)) + header


def _block5(kind, body, extra=b"", data=b""):
    head = _number(kind) + _number((1 if extra else 0) | (2 if data else 0))
    head += (_number(len(extra)) if extra else b"") + (_number(len(data)) if data else b"") + body + extra
    return seal5(_number(len(head)) + head) + data


def _number(value):
    """RAR5's integers: seven bits a byte, the lowest first, the eighth bit says that more follow."""
    low = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(byte | 0x80 for byte in low[:-1]), low[-1]])


def _file4(member):
    size, crc, mode = member.fields()
    content, name = member.content, member.name.encode()
    if member.link:
        content, mode = member.link[1].encode(), stat.S_IFLNK | 0o777
        size, crc = len(content), zlib.crc32(content)
    flags = 0x8000 | (0x04 if member.encrypted else 0) | (0xE0 if member.folder else 0)
    low = (len(content), size & 0xFFFFFFFF, 3, crc, 0x5A215A21, 29, 0x30 + member.method, len(name), mode)  # host 3: Unix
    body = struct.pack("<LLBLLBBHL", *low)
    if size >> 32:
        flags |= 0x100
        body += struct.pack("<LL", 0, size >> 32)
    return _block4(0x74, flags, body + name) + content


def _block4(kind, flags, body):
    head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head
