"""The phantoms of all data sets, packed as the official sources pack the real ones, for a server in a test."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import yaml
from rar_writer import RarMember, rar5
from semimed.datasets import known, load

ROOT = Path(__file__).resolve().parents[2]
FEW = {"nct-crc-he": 27, "isic2018-cls": 42, "cvc-clinicdb": 29}  # cases; else 8
SHAPES = {"la": [32, 28, 16], "acdc": [4, 40, 36], "brats2019": [40, 36, 32], "kits19": [12, 48, 44]}  # else as configured
# below which folder the official archive has what the phantom writes
ABOVE = {
    "la": "Training Set/",
    "acdc": "ACDC/database/",
    "brats2019": "MICCAI_BraTS_2019_Data_Training/",
    "crag": "CRAG_v2/CRAG/",
}


def with_phantoms() -> list[str]:
    """Return the data sets that can write phantoms; one of your own need not."""
    return [name for name in known() if yaml.safe_load(_document(name)).get("phantom")]


def _document(name: str) -> str:
    return (ROOT / "config" / "datasets" / f"{name}.yaml").read_text()


def facts_of(name: str) -> dict:
    """Return the parsed ``config/datasets/<name>.yaml`` with smaller phantoms."""
    facts = yaml.safe_load(_document(name))
    facts["phantom"] |= {"cases": FEW.get(name, 8), "shape": SHAPES.get(name, facts["phantom"]["shape"])}
    return facts


def phantom(name: str, folder: Path) -> dict[str, bytes]:
    """Write the phantoms of a data set to ``folder`` and return its files by their path in the official layout."""
    load(name).write_phantom(folder, facts_of(name)["phantom"])
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{ABOVE.get(name, '')}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def official(name: str, content: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files that the source of a data set serves, by the names that its configuration gives them."""
    files = list(facts_of(name)["files"])
    if name == "kits19":
        # one file a case, counted from 0
        cases = sorted({path.split("/")[1] for path in content})
        kinds = {file.partition("_")[0]: file for file in files}
        return {
            kinds[kind].format(n=number): content[f"data/{case}/{kind}.nii.gz"]
            for number, case in enumerate(cases)
            for kind in kinds
        }
    if len(files) == 1:
        return {files[0]: packed(files[0], content)}
    # several archives, each with one folder of its own name, and plain files
    stems = {file: Path(file).stem for file in files}
    parts = {file: {path: part for path, part in content.items() if path.startswith(f"{stems[file]}/")} for file in files}
    return {file: packed(file, parts[file]) if parts[file] else content[file] for file in files}


def packed(file: str, content: dict[str, bytes]) -> bytes:
    """Return an archive of the kind that the file's name says."""
    if file.endswith(".rar"):
        return rar5([RarMember(path, part) for path, part in content.items()])
    buffer = io.BytesIO()
    if file.endswith(".zip"):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, part in content.items():
                archive.writestr(path, part)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, part in content.items():
            member = tarfile.TarInfo(path)
            member.size = len(part)
            archive.addfile(member, io.BytesIO(part))
    return buffer.getvalue()


def pointed_at(name: str, served: dict[str, bytes], urls) -> dict:
    """Return what to lay over the configuration of a data set so that its files come from ``urls(path)``: a list."""
    files = {}
    for file, given in facts_of(name)["files"].items():
        if "count" in given:
            kind = file.partition("_")[0]
            files[file] = {"urls": urls(f"/{name}/{file}"), "count": sum(one.startswith(kind) for one in served)}
            continue
        content = served[file]
        sums = {key: getattr(hashlib, key)(content).hexdigest() for key in ("sha256", "md5") if key in given}
        files[file] = {"urls": urls(f"/{name}/{file}"), **({"size": len(content)} if "size" in given else {}), **sums}
    return {"files": files, "phantom": facts_of(name)["phantom"]}
