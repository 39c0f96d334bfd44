"""All ten data sets from a server on this machine: downloaded, verified, unpacked, prepared, split and described."""

import json

import pytest
import yaml
from flaky_server import Fault, FlakyServer
from official_files import facts_of, official, phantom, pointed_at, with_phantoms

STUDY = {
    "preparation": "phantom",
    "split": {"source": "random", "folds": 1, "seed": 0, "train": 0.6, "validation": 0, "test": 0.4},
    "budgets": ["50%"],
    "own": "supervised",
    "arms": {"supervised": {"method": "supervised", "recipe": {"unlabelled": 0}}},
    "tables": {"comparison": {"title": "Comparison", "rows": {"supervised": None}}},
    "figures": {},
}
RECIPE = {"steps": 2, "labelled": 1, "unlabelled": 1, "optimiser": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "constant"}}
VOLUMES = ("la", "brats2019")
NAMES = tuple(with_phantoms())
CLASSES = ("isic2018-cls", "nct-crc-he")


def study_of(name: str) -> dict:
    """Return a study of one arm on a data set, of which only data and split are made here."""
    sides = facts_of(name)["preparations"]["phantom"].get("size", [32, 32])
    if name in VOLUMES:
        backbone, sample, inference = {"name": "vnet", "width": 2}, "patch", {"kind": "sliding", "stride": [16, 16, 16]}
        patch, augment = [16, 16, 16], "rotate-flip"
    else:
        backbone = {"name": "densenet121", "pretrained": False} if name in CLASSES else {"name": "unet", "width": 2}
        stack = name in ("acdc", "kits19")
        sample, inference = ("slice" if stack else "image"), {"kind": "slices" if stack else "whole"}
        patch, augment = sides, "none"
    return STUDY | {
        "title": name,
        "dataset": name,
        "backbone": backbone,
        "recipe": RECIPE | {"sample": sample, "patch": patch, "augment": augment},
        "inference": inference | {"batch": 4, "largest_component": False, "geometry": "prepared"},
        "metrics": {"accuracy": None} if name in CLASSES else {"dice": None},
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """What each source serves: data set -> file -> bytes."""
    folder = tmp_path_factory.mktemp("phantoms")
    return {name: official(name, phantom(name, folder / name)) for name in NAMES}


@pytest.fixture
def checkout(fresh, sources):
    """A checkout with a study on each data set and no raw data anywhere; ``point(server)`` says where it is served."""
    for name in NAMES:
        (fresh.root / f"config/studies/of-{name}.yaml").write_text(yaml.safe_dump(study_of(name), sort_keys=False))

    def point(server, names=NAMES):
        def change(config):
            config["studies"] = [f"of-{name}" for name in names]
            config["raw"] = {name: f"resources/raw/{name}" for name in names}
            config["datasets"] = {
                name: pointed_at(name, sources[name], lambda path: [server.url("/gone.zip"), server.url(path)])
                for name in names
            }

        fresh.edit("config/tiny.yaml", change)

    fresh.point = point
    return fresh


def served(sources) -> dict[str, bytes]:
    return {f"/{name}/{file}": part for name, files in sources.items() for file, part in files.items()}


def test_all_ten(checkout, sources):
    hiccups = {
        "/kvasir-seg/kvasir-seg.zip": [Fault(drop=20_000), Fault(status=503, headers={"Retry-After": "0"})],
        "/acdc/ACDC.zip": [Fault(short=100)],
        "/cvc-clinicdb/CVC-ClinicDB.rar": [Fault(chunked=True, drop=3_000)],
    }
    with FlakyServer(served(sources), hiccups) as server:
        checkout.point(server)
        checkout.snakemake("--", "data", timeout=600)
        resumed = [request for request in server.asked("/kvasir-seg/kvasir-seg.zip") if "Range" in request.headers]
        assert resumed
        asked = len(server.requests)
        again = checkout.snakemake("--", "data")
        assert "Nothing to be done" in again.stdout + again.stderr
        assert len(server.requests) == asked
    for name in NAMES:
        data = checkout.results / "data" / name
        told = json.loads((data / "source.json").read_text())
        assert told["phantom"] is False and len(told["files"]) == len(sources[name])
        assert (data / "phantom" / "cases.csv").exists() and (checkout.results / f"splits/of-{name}/fold0.csv").exists()
        card = (data / "card.md").read_text()
        assert told["licence"] in card and told["files"][0]["sha256"] in card
        left = [path.name for path in (checkout.root / "resources/downloads" / name).iterdir()]
        assert sorted(left) == sorted(sources[name])
    log = (checkout.results / "logs/acquire/la.log").read_text()
    assert "is used under these terms" in log and "to be cited" in log


def test_a_source_that_gives_something_else_is_one_line(checkout, sources):
    files = served(sources)
    files["/kvasir-seg/kvasir-seg.zip"] = files["/isic2018-seg/ISIC2018_Task1_Training_GroundTruth.zip"]
    with FlakyServer(files) as server:
        checkout.point(server, ["kvasir-seg"])
        done = checkout.snakemake("--", "data", check=False)
    assert done.returncode == 1
    log = (checkout.results / "logs/acquire/kvasir-seg.log").read_text()
    assert "Traceback" not in log and "cannot get kvasir-seg.zip" in log.splitlines()[-1] and "HTTP 404" in log
    assert not (checkout.root / "resources/raw/kvasir-seg").exists()
    assert not list((checkout.root / "resources/downloads").rglob("*.*"))


def test_a_set_behind_a_registration_says_what_to_do_and_takes_what_was_put_there(checkout, sources):
    def change(config):
        config["studies"], config["raw"] = ["of-crag"], {"crag": "resources/raw/crag"}
        config["datasets"] = {"crag": {"phantom": facts_of("crag")["phantom"]}}

    checkout.edit("config/tiny.yaml", change)
    assert checkout.snakemake("--", "data", check=False).returncode == 1
    line = (checkout.results / "logs/acquire/crag.log").read_text().splitlines()[-1]
    target = checkout.root / "resources/downloads/crag"
    for part in ("https://warwick.ac.uk", "CRAG_v2.zip", str(target), "raw: crag:", "TIA Centre"):
        assert part in line
    target.mkdir(parents=True)
    (target / "CRAG_v2.zip").write_bytes(sources["crag"]["CRAG_v2.zip"])
    checkout.snakemake("--", "data")
    assert (checkout.results / "data/crag/card.html").exists()
