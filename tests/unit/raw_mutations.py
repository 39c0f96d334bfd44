"""Raw files damaged at random, or well written with the wrong content, made out of good ones.

``damage(kind)`` and ``REWRITTEN[kind](target)`` return what can be done to a file: by name the change, called as
``change(target, dice)``, which alters the file where it stands, and the outcomes that are right then. A file may come out as
other content only where nothing in it could tell: gzip and PNG have checksums over everything, but JPEG, TIFF, plain NIfTI,
raw NRRD, HDF5 and text have none over what a flipped bit changes, the headers of NIfTI and NRRD are numbers as good as others
inside gzip too, and the file of another case is a good file.
"""

import io
import os
import pickle
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

REFUSED, ORIGINAL, OTHERWISE = "refused", "read as the original", "read otherwise"
NEVER, SAME, SAFE, ANY = {REFUSED}, {ORIGINAL}, {REFUSED, ORIGINAL}, {REFUSED, ORIGINAL, OTHERWISE}
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\0", b"\x89HDF\r\n\x1a\n", b"NRRD0004\n", b"PK\x03\x04", b"<!DOCTYPE html>\n", b"")
FIRST = {"h5": 2000}  # bytes that are taken for the header; else 400


@dataclass(frozen=True)
class Target:
    """A file to change; ``role`` is image, label, picture (no label beside it) or table, ``key`` the data set in HDF5."""

    file: Path
    other: Path  # of the same kind, of another case
    role: str
    key: str = ""

    @property
    def kind(self) -> str:
        return "nii.gz" if self.file.name.endswith(".nii.gz") else self.file.suffix[1:]


def damage(kind: str) -> dict:
    """Return what can be done to any file; see the module."""
    flipped = SAFE if kind in ("nii.gz", "png") else ANY
    cut = ANY if kind in ("jpg", "csv", "cfg") else SAFE
    found = {"linked": (_linked, SAME), "another-case": (_another_case, ANY), "pickled": (_pickled, NEVER)}
    found |= {"empty": (_bytes(lambda data, dice: b""), NEVER), "garbage": (_bytes(_garbage), NEVER)}
    for number in range(3):
        found[f"truncated-{number}"] = (_bytes(lambda data, dice: data[: dice.randrange(1, len(data))]), cut)
        found[f"flipped-{number}"] = (_bytes(lambda data, dice: _flipped(data, dice, len(data))), flipped)
        found[f"header-flipped-{number}"] = (_bytes(lambda data, dice: _flipped(data, dice, FIRST.get(kind, 400))), flipped)
        found[f"header-zeroed-{number}"] = (_bytes(lambda data, dice: _zeroed(data, dice, FIRST.get(kind, 400))), flipped)
    return found


def _bytes(change):
    """The way to do to a file what ``change(data, dice)`` does to its bytes."""

    def way(target, dice):
        target.file.write_bytes(change(target.file.read_bytes(), dice))

    return way


def _garbage(data, dice):
    """Another kind's first bytes, then noise."""
    return dice.choice([magic for magic in MAGIC if data[:4] != magic[:4]]) + dice.randbytes(dice.randrange(1, 4096))


def _flipped(data, dice, end):
    place = dice.randrange(min(end, len(data)))
    return data[:place] + bytes([data[place] ^ dice.randrange(1, 256)]) + data[place + 1 :]


def _zeroed(data, dice, end):
    place = dice.randrange(min(end, len(data)))
    size = dice.randrange(1, 17)
    return data[:place] + bytes(len(data[place : place + size])) + data[place + size :]


def _linked(target, dice):
    """A link to the good file, as in folders that share their data."""
    os.symlink(target.file.rename(target.file.with_name("linked.bin")), target.file)


def _another_case(target, dice):
    target.file.write_bytes(target.other.read_bytes())


class _Trap:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


def _pickled(target, dice):
    """A .npy file of an object that leaves a folder behind where somebody unpickles it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    target.file.write_bytes(buffer.getvalue() + pickle.dumps(_Trap(str(target.file.with_name("trap")))))


# --- text ---


def _text(change):
    return _bytes(lambda data, dice: change(data.decode()).encode())


def _encoded(encoding):
    return _bytes(lambda data, dice: data.decode().encode(encoding))


def _row(change):
    """Change the first row below the header, a list of its fields."""

    def way(text):
        lines = text.split("\n")
        lines[1] = ",".join(change(lines[1].split(",")))
        return "\n".join(lines)

    return _text(way)


TABLES = {
    "nul": (_text(lambda text: text.replace("0", "\0")), NEVER),
    "nul-bytes-behind": (_text(lambda text: text + "\0" * 99), NEVER),
    "utf-16": (_encoded("utf-16"), NEVER),
    "byte-order-mark": (_encoded("utf-8-sig"), SAME),
    "no-utf-8": (_bytes(lambda data, dice: data + b"\xff\xfe\n"), NEVER),
    "line-ends": (_text(lambda text: text.replace("\n", "\r\n")), SAME),
    "semicolons": (_text(lambda text: text.replace(",", ";")), NEVER),
    "no-header": (_text(lambda text: text.partition("\n")[2]), NEVER),
    "header-only": (_text(lambda text: text.partition("\n")[0]), NEVER),
    "column-less": (_text(lambda text: "\n".join(line.rpartition(",")[0] for line in text.split("\n"))), NEVER),
    "column-more": (_text(lambda text: "".join(f"{line},x{bool(n)}\n" for n, line in enumerate(text.splitlines()))), SAME),
    "column-twice": (_text(lambda text: "".join(f"{line},{line.split(',')[-1]}\n" for line in text.splitlines())), NEVER),
    "row-twice": (_text(lambda text: text + text.splitlines()[1] + "\n"), NEVER),
    "row-less": (_text(lambda text: "\n".join(text.split("\n")[:-2])), NEVER),
    "row-more": (_text(lambda text: f"{text}x{text.splitlines()[1]}\n"), SAFE),
    "field-more": (_row(lambda row: [*row, "0.0"]), NEVER),
    "empty-fields": (_row(lambda row: [row[0], *[""] * len(row[1:])]), NEVER),
    "huge-field": (_row(lambda row: [*row[:-1], "0" * 2**20]), NEVER),
    "quote": (_row(lambda row: [row[0], '"', *row[1:]]), NEVER),
    "path": (_row(lambda row: ["../" + row[0], *row[1:]]), NEVER),
    "line-in-a-name": (_row(lambda row: ['"a\nb"', *row[1:]]), NEVER),
}
# of a table with a column for each class
DIAGNOSES = {
    f"row-of-{value}": (_row(lambda row, value=value: [row[0], *[value] * len(row[1:])]), NEVER)
    for value in ("one", "1.0", "0.0", "nan", "1e999", "0.5")
}
NUMBERS = ("", "-1", "0", "3.5", "1e1", "0x3", "\u0663", "../3", "\0", "9" * 300, "9" * 5000, "3 4", "ED: 3")
INFO = {f"number-{n}": (_text(lambda text, v=v: re.sub(r"ED: \d+", f"ED: {v}", text)), NEVER) for n, v in enumerate(NUMBERS)}
INFO |= {
    "utf-16": (_encoded("utf-16"), NEVER),
    "byte-order-mark": (_encoded("utf-8-sig"), NEVER),
    "line-ends": (_text(lambda text: text.replace("\n", "\r\n")), SAME),
    "no-colons": (_text(lambda text: text.replace(":", "=")), NEVER),
    "one-line": (_text(lambda text: text.replace("\n", " ")), NEVER),
    "twice": (_text(lambda text: text + "ED: 99\n"), NEVER),
    "same": (_text(lambda text: text.replace("ES", "ED")), NEVER),
    "swapped": (_text(lambda text: text.replace("ED", "E").replace("ES", "ED").replace("E:", "ES:")), ANY),
    "more": (_text(lambda text: text + "Remark: \u00fc\n" * 10**5), SAME),
}

# --- pictures ---

MODES = {"jpg": ("L", "CMYK"), "png": ("1", "L", "LA", "P", "RGBA", "I;16"), "tif": ("1", "L", "LA", "P", "RGBA", "CMYK", "F")}
FORMATS = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}


def _picture(change):
    """Save what ``change(picture)`` returns in the place of the picture."""

    def way(target, dice):
        with Image.open(target.file) as picture:
            new = change(picture.copy())
        new.save(target.file, FORMATS[target.kind])

    return way


def _declared(columns, rows):
    """Have the header say that the picture is so large; the checksum of PNG is right."""

    def change(data, dice):
        if data.startswith(b"\x89PNG"):
            head = b"IHDR" + struct.pack(">2I", columns, rows) + data[24:29]
            return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
        if data.startswith(b"II"):  # the tags 256 and 257, one number of 32 bits each
            for tag, size in ((256, columns), (257, rows)):
                place = data.index(struct.pack("<2HI", tag, 4, 1)) + 8
                data = data[:place] + struct.pack("<I", size) + data[place + 4 :]
            return data
        place = data.index(b"\xff\xc0\0") + 5
        return data[:place] + struct.pack(">2H", rows, columns) + data[place + 4 :]

    return _bytes(change)


def _with_chunk(name, content):
    """Insert a chunk behind the header of a PNG."""
    chunk = name + content
    whole = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return _bytes(lambda data, dice: data[:33] + whole + data[33:])


def _pictures(target):
    image = target.role != "label"
    pair = ANY if target.role == "picture" else NEVER
    # masks may be in colours, palettes and bits, where their levels are two, but never all black
    found = {
        f"mode-{mode}": (_picture(lambda it, mode=mode: it.convert(mode)), NEVER if image else ANY)
        for mode in MODES[target.kind]
    }
    found |= {f"declared-{n}": (_declared(*size), NEVER) for n, size in enumerate(((60000, 60000), (13000, 13000), (0, 9)))}
    found |= {
        "other-size": (_picture(lambda it: it.resize((it.width + 5, it.height + 3))), pair),
        "one-pixel": (_picture(lambda it: it.resize((1, 1))), pair),
        "one-line": (_picture(lambda it: it.resize((2000, 1))), pair),
        "black": (_picture(lambda it: it.point(lambda value: 0)), ANY if image else NEVER),
        "inverted": (_picture(lambda it: it.point(lambda value: 255 - value)), ANY),
    }
    if target.kind == "png":
        bomb = b"a\0\0" + zlib.compress(bytes(2**26), 9)
        found |= {f"bomb-in-{name}": (_with_chunk(name.encode(), bomb), SAFE) for name in ("zTXt", "iCCP")}
    return found


REWRITTEN = {"jpg": _pictures, "png": _pictures, "tif": _pictures, "cfg": lambda target: INFO}
REWRITTEN["csv"] = lambda target: TABLES | (DIAGNOSES if target.file.read_text().partition("\n")[0].count(",") > 1 else {})
