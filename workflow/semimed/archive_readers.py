"""The three kinds of archives: what their members are, and their bytes; archives.py judges and writes them."""

import bz2
import contextlib
import copy
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from typing import NamedTuple

import rarfile

from .errors import BadInput, Damaged
from .progress import MEGABYTE, Progress

CHUNK = 1 << 20
# The longest header of a tar archive, in bytes. Names and attributes take a few hundred; the time that tarfile's patterns
# take grows with the square of it (0.4 s for 16 KiB of digits).
MOST_HEADER = 1 << 14

AGAIN = "get the archive again from its source"
BY_HAND = "unpack it by hand into the raw folder of the data set"
LIMIT = f"{AGAIN}, or raise `unpack:` of the data set where so much is right"
LINK, SPECIAL = ("a link", AGAIN), ("a device, pipe or socket", AGAIN)
ENCRYPTED = ("an encrypted member", AGAIN)
UNKNOWN = ("a kind of compression or of member that cannot be read here", BY_HAND)

# What the readers raise on bad content, by their sources. zipfile: BadZipFile, NotImplementedError (versions, patches),
# EOFError, ValueError (offsets, UTF-8), OverflowError; tarfile: TarError, ValueError, IndexError (sparse maps), KeyError,
# RecursionError (chains of headers), OverflowError; rarfile: Error, struct.error, ValueError (dates, UTF-8), IndexError,
# OverflowError; the decompressors: zlib.error, LZMAError, EOFError, OSError (gzip and bz2), MemoryError.
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, rarfile.Error, struct.error, zlib.error, lzma.LZMAError),
    *(OSError, EOFError, ValueError, LookupError, ArithmeticError, NotImplementedError, RecursionError, MemoryError),
)


class Member(NamedTuple):
    """One member, as its header has it; ``fault`` is what is wrong and how to mend it; ``source`` is its reader's own."""

    name: str
    size: int
    folder: bool
    fault: tuple[str, str] | None
    source: object


def open_archive(archive, limit):
    """Return a reader with ``members()``, ``pieces(source)`` (a member's bytes) and ``close()``, by the first bytes.

    Of a compressed tar no more than ``limit`` bytes are decompressed. Raises ``DAMAGE`` or ``BadInput``.
    """
    with open(archive, "rb") as handle:
        head = handle.read(512)
    if head.startswith(b"PK\x03\x04"):
        return _Zip(archive)
    if head.startswith((rarfile.RAR_ID, rarfile.RAR5_ID)):
        return _Rar(archive)
    for magic, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if head.startswith(magic):
            return _Tar(archive, limit, opener)
    if head[257:262] == b"ustar":
        return _Tar(archive, limit, contextlib.nullcontext)
    raise Damaged(f"neither zip, tar nor rar, but {head[:16]!r} at the start of {archive}: {AGAIN}")


class _Zip:
    def __init__(self, archive):
        self.archive = archive
        self.zip = zipfile.ZipFile(archive)
        self.close = self.zip.close

    def members(self):
        found, stated = len(self.zip.infolist()), self._stated()
        if stated not in (found & 0xFFFF, 0xFFFF):  # 16 bits; all set: the number stands elsewhere
            raise zipfile.BadZipFile(f"{found} members instead of {stated}")
        for info in self.zip.infolist():
            fault = _special(info.external_attr >> 16)
            if info.flag_bits & 0x41:  # bits 0 and 6: encrypted, strongly encrypted
                fault = ENCRYPTED
            # bzip2 and LZMA are left out: zipfile puts no bound on what 4 KiB of them decompress to.
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                fault = UNKNOWN
            # zipfile cuts `filename` at the first NUL
            yield Member(info.orig_filename, info.file_size, info.orig_filename.endswith("/"), fault, info)

    def _stated(self):
        """Return the number of members in the end record, which zipfile does not look at: 10 bytes behind its mark."""
        with open(self.archive, "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - (22 + 0xFFFF)))  # the record and the longest comment
            tail = handle.read()
        return struct.unpack_from("<H", tail, tail.rindex(b"PK\x05\x06") + 10)[0]

    def pieces(self, info):
        # zipfile quietly stops at the size in the header: one byte more is asked for, so that a wrong size is found out.
        longer = copy.copy(info)
        longer.file_size += 1
        with self.zip.open(longer) as source:
            while piece := source.read(CHUNK):
                yield piece


class _Rar:
    def __init__(self, archive):
        self.last = None
        self.rar = rarfile.RarFile(archive, errors="strict", info_callback=self._seen)
        self.close = self.rar.close

    def _seen(self, block):
        self.last = block

    def members(self):
        if self.rar.needs_password() and not self.rar.infolist():
            raise rarfile.PasswordRequired("encrypted headers")
        # At a header of an unknown kind rarfile stops without a word.
        if self.last is None or self.last.type != rarfile.RAR_BLOCK_ENDARC:
            raise EOFError("no end mark")
        for info in self.rar.infolist():
            fault = _special(info.mode) if info.host_os == rarfile.RAR_OS_UNIX else None
            stored = info.compress_type == rarfile.RAR_M0
            if info.needs_password():
                fault = ENCRYPTED
            elif info.file_redir:
                fault = LINK
            elif stored and info.compress_size != info.file_size:
                fault = fault or ("two sizes", AGAIN)
            elif not stored and not fault:
                rarfile.tool_setup()
            yield Member(info.filename, info.file_size, info.is_dir(), fault, info)

    def pieces(self, info):
        with self.rar.open(info) as source:
            while piece := source.read(CHUNK):
                yield piece


def _special(mode):
    """Return the fault of a Unix mode that is neither a file's nor a folder's; zero is that of other systems."""
    kind = stat.S_IFMT(mode & 0xFFFF)
    return None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else LINK if kind == stat.S_IFLNK else SPECIAL


class _Tar:
    def __init__(self, archive, limit, opener):
        self.archive, self.limit = archive, limit
        with contextlib.ExitStack() as stack:
            self.file = stack.enter_context(open(archive, "rb"))
            self.stream = stack.enter_context(opener(self.file))
            self.close = stack.pop_all().close

    def members(self):
        size = os.fstat(self.file.fileno()).st_size // MEGABYTE
        with contextlib.closing(Progress(f"look through {self.archive.name} (MB)", size)) as bar:
            stream = _Forward(self.stream, self.archive, self.limit)
            tar = tarfile.TarFile(fileobj=stream, encoding="utf-8")
            for number, info in enumerate(iter(tar.next, None), 1):
                fault = LINK if info.issym() or info.islnk() else SPECIAL if info.isdev() else None
                if info.issparse() or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
                    fault = fault or UNKNOWN
                yield Member(info.name, 0 if info.isdir() else info.size, info.isdir(), fault, info)
                if self.file.tell() // MEGABYTE > bar.done:
                    bar.update(self.file.tell() // MEGABYTE, f"{number} members")
            stream.finish()

    def pieces(self, info):
        self.stream.seek(info.offset_data)
        left = info.size
        while piece := self.stream.read(min(CHUNK, left)):
            left -= len(piece)
            yield piece


class _Forward:
    """What tarfile lists: goes forward only, as a negative size would have it read for ever, and reads headers only."""

    def __init__(self, stream, archive, limit):
        self.stream, self.archive, self.limit = stream, archive, limit
        self.last, self.tell = b"", stream.tell

    def seek(self, position):
        if position < self.tell():
            raise ValueError("a negative size")
        self._bound(position)
        self.stream.seek(position)

    def read(self, size):
        if not 0 <= size <= MOST_HEADER:
            raise ValueError(f"a header of {size} bytes")
        self._bound(self.tell() + size)
        self.last = self.stream.read(size)
        return self.last

    def finish(self):
        """Read to the end, for the checksum of gzip and xz. tarfile takes a broken header for the end of the archive."""
        if self.last != bytes(tarfile.BLOCKSIZE):
            raise EOFError("no end mark")
        while piece := self.stream.read(CHUNK):
            self._bound(self.tell())
            if piece.count(0) < len(piece):
                raise ValueError("content behind the end mark")

    def _bound(self, position):
        if position > self.limit:
            raise BadInput(f"more than {self.limit} bytes decompressed in {self.archive}: {LIMIT}")
