"""Volumes written wrongly by the libraries of their formats, and headers with impossible numbers.

``VOLUMES[kind](target)`` returns changes and right outcomes by name, as ``raw_mutations.REWRITTEN`` does for other kinds.
"""

import gzip
import struct

import h5py
import nibabel
import nrrd
import numpy as np
from raw_mutations import ANY, NEVER, SAFE, SAME


def _voxel(array, value):
    array = array.copy()
    array.flat[array.size // 2] = value
    return array


# by name: what is done to an array, and what is right for an image and for a label then
EDITS = {
    "wider": (lambda array: array.astype(np.float64 if array.dtype.kind == "f" else np.int64), SAME, SAME),
    "float": (lambda array: array.astype(np.float64), SAME, SAME),
    "complex": (lambda array: array + np.complex64(1j), NEVER, NEVER),
    "colours": (lambda array: np.zeros(array.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), NEVER, NEVER),
    "text": (lambda array: np.full(array.shape, b"1"), NEVER, NEVER),
    "axis-less": (lambda array: array[..., 0], NEVER, NEVER),
    "axis-more": (lambda array: np.stack([array, array], axis=-1), NEVER, NEVER),
    "no-rows": (lambda array: array[:0], NEVER, NEVER),
    "no-planes": (lambda array: array[..., :0], NEVER, NEVER),
    "cut": (lambda array: array[..., 1:], NEVER, NEVER),
    "turned": (lambda array: array.swapaxes(0, 1), NEVER, NEVER),
    "nan": (lambda array: _voxel(array.astype(np.float32), np.nan), NEVER, NEVER),
    "infinite": (lambda array: _voxel(array.astype(np.float32), -np.inf), NEVER, NEVER),
    "beyond-float32": (lambda array: _voxel(array.astype(np.float64), 1e300), NEVER, NEVER),
    "largest-float32": (lambda array: _voxel(array.astype(np.float32), 3e38), ANY, NEVER),
    "foreign": (lambda array: _voxel(array, 77), ANY, NEVER),
    "negative": (lambda array: _voxel(array.astype(np.int16), -1), ANY, NEVER),
    "half": (lambda array: array.astype(np.float32) * 0.5, ANY, NEVER),
    "constant": (lambda array: array * 0, ANY, NEVER),
}


def _edited(target):
    save, unknown = SAVERS[target.kind]
    label = target.role == "label"
    return {
        f"array-{name}": (lambda target, dice, edit=edit: save(target, edit), right[label])
        for name, (edit, *right) in EDITS.items()
        if name not in unknown
    }


def _save_nifti(target, edit):
    image = nibabel.load(target.file)
    array = edit(np.asanyarray(image.dataobj))
    _pack(target.file, nibabel.Nifti1Image(array, image.affine, dtype=array.dtype).to_bytes())


def _pack(file, data):
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def _save_nrrd(target, edit):
    array, header = nrrd.read(str(target.file))
    array = edit(array)
    nrrd.write(str(target.file), array, {"encoding": header["encoding"]} if array.ndim != 3 else header)


def _save_h5(target, edit):
    with h5py.File(target.file, "a") as store:
        array = edit(store[target.key][()])
        del store[target.key]
        store[target.key] = array


SAVERS = {
    "nii.gz": (_save_nifti, ("text",)),
    "nii": (_save_nifti, ("text",)),
    "nrrd": (_save_nrrd, ("text", "colours", "complex")),
    "h5": (_save_h5, ()),
}

# --- headers: numbers and lines that cannot be, or that lead elsewhere ---

# of NIfTI-1: name, place, form, values, what is right then
FIELDS = [
    *(("shape", 40, "<8h", (3, *size, 1, 1, 1, 1), NEVER) for size in ((30000,) * 3, (1500,) * 3, (32767, 32767, 1))),
    *(("axes", 40, "<h", (number,), NEVER) for number in (-1, 0, 1, 8, 20000)),
    ("negative-axis", 42, "<h", (-5,), NEVER),
    *(("spacing", 80, "<f", (size,), NEVER) for size in (0.0, -1.0, np.nan, np.inf)),
    *(("offset", 108, "<f", (place,), NEVER) for place in (1e12, np.inf, np.nan, -400.0)),
    *(("offset", 108, "<f", (place,), ANY) for place in (0.0, 348.0)),
    *(("slope", 112, "<2f", pair, ANY) for pair in ((0.0, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1e-30, 0.0), (1.0, np.nan))),
    ("slope-beyond-float32", 112, "<2f", (3e38, 3e38), ANY),
    *(("type", 70, "<2h", pair, ANY) for pair in ((0, 0), (1, 1), (32, 64), (128, 24), (999, 8), (1536, 128), (2304, 32))),
    ("extension", 348, "<4B2i", (1, 0, 0, 0, 2**31 - 1, 6), ANY),
    ("extension", 348, "<4B2i", (1, 0, 0, 0, -16, 6), ANY),
    ("header-size", 0, "<i", (540,), SAFE),
    ("magic", 344, "<4s", (b"ni1\0",), ANY),
]


def _fields():
    def patch(target, place, form, values):
        good = target.file.read_bytes()
        data = bytearray(gzip.decompress(good) if target.kind == "nii.gz" else good)
        struct.pack_into(form, data, place, *values)
        _pack(target.file, bytes(data))

    return {
        f"field-{number}-{name}": (lambda target, dice, field=field: patch(target, *field), right)
        for number, (name, *field, right) in enumerate(FIELDS)
    }


# of NRRD: a field and its value in place of the good ones; what is right then
LINES = [
    *(("data file", place, NEVER) for place in ("OTHER", "/etc/hostname", "LIST")),
    *(("datafile", place, NEVER) for place in ("OTHER", "/etc/hostname", "slice%d.raw 1 9 1")),
    *(("line skip", number, NEVER) for number in (10**15, -1, 3)),
    *(("lineskip", number, NEVER) for number in (10**15, "x")),
    *(("byte skip", number, NEVER) for number in (10**15, -7)),
    *(("byteskip", number, ANY) for number in (-1, 0)),
    *(("encoding", name, NEVER) for name in ("ascii", "hex", "bzip2", "zstd", "")),
    *(("sizes", sizes, NEVER) for sizes in ("30000 30000 30000", "1500 1500 1500", "-1 -1 -1", "0 0 0", "9", "x y z")),
    *(("sizes", sizes, NEVER) for sizes in (f"{2**40} {2**40} {2**40}", f"{9**99} 1 1")),
    *(("dimension", number, NEVER) for number in (-1, 0, 2, 10**9)),
    *(("type", name, NEVER) for name in ("double", "block", "object")),
    ("endian", "big", ANY),
    *(("space directions", size, NEVER) for size in ("none none none", "(nan,0,0) (0,1,0) (0,0,1)", "(0,0,0) " * 3)),
    *(("space directions", size, NEVER) for size in ("(1e400,0,0) (0,1,0) (0,0,1)", "1", "", "(1,0) (0,1)", "none")),
    *(("spacings", size, ANY) for size in ("0 0 0", "nan nan nan", "1", "")),
    ("content", "x" * 2**20, ANY),
]


def _lines():
    def patch(target, key, value):
        head, blank, body = target.file.read_bytes().partition(b"\n\n")
        kept = [line for line in head.split(b"\n") if not line.startswith(f"{key}:".encode())]
        line = f"{key}: {value}".replace("OTHER", str(target.other))
        target.file.write_bytes(b"\n".join([*kept, line.encode()]) + blank + body)

    return {
        f"line-{number}-{key}": (lambda target, dice, key=key, value=value: patch(target, key, value), right)
        for number, (key, value, right) in enumerate(LINES)
    }


# of HDF5: what may stand in the place of a data set. Each gets the open file, the key, the good array, and another file with
# a good array under that key, which must not be read in its place.
def _external_storage(store, key, array, other):
    store.create_dataset(key, array.shape, array.dtype, external=[(other, 0, array.nbytes)])


def _virtual(store, key, array, other):
    layout = h5py.VirtualLayout(array.shape, array.dtype)
    layout[...] = h5py.VirtualSource(other, key, array.shape)
    store.create_virtual_dataset(key, layout)


def _two_links(store, key, array, other):
    store["way"] = h5py.ExternalLink(other, "/")
    store[key] = h5py.SoftLink(f"/way/{key}")


def _huge(values, **options):
    """A data set of about so many values, none of them stored."""

    def put(store, key, array, other):
        side = round(values ** (1 / array.ndim))
        store.create_dataset(key, (side,) * array.ndim, array.dtype, chunks=True, **options)

    return put


def _value(make):
    """``make(array, other)`` in the place of the data set."""
    return lambda store, key, array, other: store.__setitem__(key, make(array, other))


STRUCTURES = {
    "missing": lambda store, key, array, other: None,
    "group": lambda store, key, array, other: store.create_group(key),
    "named-type": _value(lambda array, other: array.dtype),
    "external-link": lambda store, key, array, other: store.__setitem__(key, h5py.ExternalLink(other, key)),
    "dangling-link": _value(lambda array, other: h5py.SoftLink("/nowhere")),
    "endless-link": lambda store, key, array, other: store.__setitem__(key, h5py.SoftLink(f"/{key}")),
    "two-links": _two_links,
    "external-storage": _external_storage,
    "virtual": _virtual,
    "nothing": _value(lambda array, other: h5py.Empty("f4")),
    "number": _value(lambda array, other: 1.0),
    "line": _value(lambda array, other: "text"),
    "opaque": _value(lambda array, other: np.full(array.shape, np.void(b"1"))),
    "objects": lambda store, key, array, other: store.create_dataset(key, array.shape, h5py.string_dtype()),
    "references": lambda store, key, array, other: store.create_dataset(key, array.shape, h5py.ref_dtype),
    "sequences": lambda store, key, array, other: store.create_dataset(key, array.shape, h5py.vlen_dtype(np.int32)),
    "huge": _huge(3e13),
    "large": _huge(3e9),
    "large-filled": _huge(3e9, fillvalue=1),
    "large-packed": _huge(3e9, compression="gzip"),
}


def _structures(target):
    def rebuild(target, put):
        with h5py.File(target.file, "a") as store:
            array = store[target.key][()]
            del store[target.key]
            put(store, target.key, array, str(target.other))

    return {f"h5-{name}": (lambda target, dice, put=put: rebuild(target, put), NEVER) for name, put in STRUCTURES.items()}


VOLUMES = {
    "nii": lambda target: _edited(target) | _fields(),
    "nii.gz": lambda target: _edited(target) | _fields(),
    "nrrd": lambda target: _edited(target) | _lines(),
    "h5": lambda target: _edited(target) | _structures(target),
}
