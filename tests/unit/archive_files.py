"""Archives of given members, and what unpacking them ends in, for tests."""

import io
import tarfile
import zipfile

import pytest
from rar_writer import RarMember, rar4, rar5
from semimed.archives import extract
from semimed.errors import BadInput

FILES = {
    "images/one.png": bytes(range(256)) * 20,
    "images/two.png": b"text " * 2000,
    "masks/ü/three.txt": b"3" * 700,
    "readme.txt": b"read me" * 300,
}
FORMATS = ["zip", "tar", "rar4", "rar5"]


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    """A zip of (name or ZipInfo, content) pairs; the name of a folder ends in ``/``."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content, compression)
    return blob.getvalue()


def tarred(members, **options):
    """A tar of (name or TarInfo, content) pairs; the name of a folder ends in ``/``."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w", **options) as archive:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if member.name.endswith("/"):
                member.type = tarfile.DIRTYPE
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return blob.getvalue()


def packed(form, members):
    """An archive of (name, content) pairs, in one of ``FORMATS``."""
    if form in ("zip", "tar"):
        return {"zip": zipped, "tar": tarred}[form](members)
    members = [RarMember(name, content, folder=name.endswith("/")) for name, content in members]
    return {"rar4": rar4, "rar5": rar5}[form](members)


def unpacked(tmp_path, data, most_bytes=1 << 20, most_files=10):
    """The files after unpacking the bytes; there is nothing beside the folder."""
    (tmp_path / "data.archive").write_bytes(data)
    try:
        extract(tmp_path / "data.archive", tmp_path / "out", most_bytes, most_files)
    finally:
        assert {path.name for path in tmp_path.iterdir()} <= {"data.archive", "out"}
    out = tmp_path / "out"
    assert not any(path.is_symlink() for path in out.rglob("*"))
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def refusal(tmp_path, data, begun=False, **limits):
    """The line that unpacking ends in; nothing was written unless ``begun``."""
    with pytest.raises(BadInput) as caught:
        unpacked(tmp_path, data, **limits)
    line = str(caught.value)
    assert str(tmp_path / "data.archive") in line and "\n" not in line
    assert "get the archive again from its source" in line or "unpack it by hand" in line
    assert begun or not (tmp_path / "out").exists()
    return line
