"""Unpack downloaded archives: every member is looked at before the first byte is written."""

import contextlib
import errno
import re
import unicodedata
from pathlib import Path

import rarfile

from .archive_readers import AGAIN, BY_HAND, DAMAGE, LIMIT, open_archive
from .errors import BadInput, Damaged
from .progress import MEGABYTE, Progress

# Of a file name, in bytes: what the usual file systems allow. Of a whole path: PATH_MAX of macOS is 1,024.
MOST_PART, MOST_PATH, MOST_DEEP = 255, 900, 32
# What is wrong with the machine, not with the archive.
TROUBLE = (errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.ETIMEDOUT)
# What a member costs in a tar archive beside its bytes: header, extended header, padding, and the 4 KiB of a `._` file.
TAR_MEMBER = 1 << 13

# Control characters, and the lone surrogates that stand for bytes that are no UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def extract(archive: Path, folder: Path, most_bytes: int, most_files: int) -> None:
    """Unpack a zip, tar (plain, gzip, bzip2, xz) or rar archive, told by its content, to ``folder`` (fresh or not there).

    Nothing is written before all members were looked at: a path out of ``folder``, a link, a device, an encrypted member,
    two members in one place, more than ``most_files`` files or ``most_bytes`` bytes unpacked. Files get the usual
    permissions; owners and times are not taken over. What macOS adds is left out. On failure the caller throws ``folder``
    away. A compressed tar is decompressed twice, because it has no list of its members. Raises ``BadInput``.
    """
    archive, folder = Path(archive), Path(folder)
    # Folders and what macOS adds are no files; there are at most as many of both together as three times the files.
    most_members = 4 * most_files + 100
    with contextlib.ExitStack() as stack:
        with _sound(archive):
            reader = open_archive(archive, most_bytes + TAR_MEMBER * most_members)
            stack.callback(reader.close)
        members = _checked(archive, reader, most_bytes, most_files, most_members)
        _write(archive, folder, reader, members)


def _checked(archive, reader, most_bytes, most_files, most_members):
    """Return (path, member) of all to be written, in the archive's order."""
    chosen, taken, total, files, junk = [], {}, 0, 0, 0
    for member in _each(archive, reader.members()):
        path, fault = _path(member)
        if not fault and (not path or _added_by_macos(path)):
            junk += 1
        elif not fault:
            total, files = total + member.size, files + (not member.folder)
            chosen.append((path, member))
            fault = _take(taken, path, member.folder)
        if total > most_bytes:
            fault = fault or (f"more than {most_bytes} bytes unpacked", LIMIT)
        elif files > most_files or len(taken) + junk > most_members:
            fault = fault or (f"more than {most_files} files, or far more folders,", LIMIT)
        if fault:
            kind = Damaged if fault[1] == AGAIN else BadInput
            raise kind(f"{fault[0]} (member {member.name[:200]!r}) in {archive}: {fault[1]}")
    if not files:
        raise BadInput(f"no files in {archive}: {AGAIN}")
    return chosen


def _path(member):
    """Return the member's path below the folder and what is wrong with the member, or None."""
    name, fault = member.name, member.fault
    parts = name.rstrip("/").split("/") if member.folder else name.split("/")
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        fault = ("an absolute path", AGAIN)
    elif "\\" in name or UNPRINTABLE.search(name):
        fault = ("a backslash, a control character or broken UTF-8 in a name", AGAIN)
    elif ".." in parts:
        fault = ("a path out of the archive", AGAIN)
    elif "" in parts or (parts[-1] == "." and not member.folder):
        fault = ("an empty name", AGAIN)
    elif len(parts) > MOST_DEEP or len(name.encode()) > MOST_PATH or any(len(part.encode()) > MOST_PART for part in parts):
        fault = ("a name that is too long or too deep", BY_HAND)
    elif member.size < 0 or (member.folder and member.size):
        fault = fault or ("a size that cannot be", AGAIN)
    return "/".join(part for part in parts if part != "."), fault


def _added_by_macos(path):
    parts = path.split("/")
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _take(taken, path, folder):
    """Enter ``path`` and the folders above it in ``taken``; return the fault where another member is in its way."""
    # macOS takes names for the same that differ only in case or in how Unicode writes an accent.
    place = unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
    there = taken.get(place)
    if there is None:
        above = path.rpartition("/")[0]
        fault = _take(taken, above, True) if above else None
        taken[place] = (path, folder)
        return fault
    if folder and there == (path, True):
        return None
    return (f"the place of {there[0][:200]!r}, which another member takes,", AGAIN)


def _write(archive, folder, reader, members):
    total = sum(member.size for _, member in members) // MEGABYTE
    with contextlib.closing(Progress(f"unpack {archive.name} (MB)", total)) as bar:
        place, done = folder, 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number, (path, member) in enumerate(members, 1):
                place = folder / path
                (place if member.folder else place.parent).mkdir(parents=True, exist_ok=True)
                if member.folder:
                    continue
                with open(place, "xb") as target:
                    for piece in _each(archive, _pieces(reader, member), member.name):
                        target.write(piece)
                        done += len(piece)
                        if done // MEGABYTE > bar.done:
                            bar.update(done // MEGABYTE, f"{number} of {len(members)} members")
        except FileExistsError as error:
            mend = "two archives of a data set need folders of their own (`into:`)"
            raise BadInput(f"a file in the place of {place}, which {archive} holds too: {mend}") from error
        except OSError as error:
            mend = "free some space there, or set another folder or disk by `raw:` in the configuration"
            raise BadInput(f"cannot write {place} ({error.strerror}) out of {archive}: {mend}") from error


def _pieces(reader, member):
    """Yield the member's bytes; stop at once where there are more than its header says."""
    done = 0
    for piece in reader.pieces(member.source):
        done += len(piece)
        if done > member.size:
            raise ValueError("more bytes than its header says")
        yield piece
    if done < member.size:
        raise EOFError("fewer bytes than its header says")


def _each(archive, values, name=None):
    """Pass the values on, turning only the errors of making them into one line, not those of using them."""
    with _sound(archive, name):
        yield from values


@contextlib.contextmanager
def _sound(archive, name=None):
    """Turn what the readers raise on bad content into one clear line."""
    try:
        yield
    except rarfile.RarCannotExec as error:
        mend = f"install one of unrar, unar, 7z or bsdtar, or {BY_HAND}"
        raise BadInput(f"no program that unpacks compressed rar members, as in {archive}: {mend}") from error
    except DAMAGE as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in TROUBLE:
            raise BadInput(f"cannot read {archive} ({error}): mend that, and run again") from error
        where = f"{archive}" if name is None else f"member {name[:200]!r} of {archive}"
        raise Damaged(f"damaged content ({str(error) or type(error).__name__}) in {where}: {AGAIN}") from error
