"""A preparation of a classification set that was killed goes on where it was."""

import pytest
from PIL import Image
from semimed import prepare as preparing
from semimed import prepare_stack
from semimed.acquire import acquire
from semimed.datasets.isic2018_cls import IMAGES, ISIC2018Cls
from semimed.errors import BadInput
from semimed.store import read_cases
from stacked import FACTS, damage, files, run


@pytest.fixture
def source(tmp_path):
    """``source.json`` about forty small phantoms."""
    acquire(ISIC2018Cls(), FACTS, "phantom", tmp_path / "source.json", tmp_path / "raw", tmp_path / "downloads")
    return tmp_path / "source.json"


def test_what_earlier_jobs_left_is_cleared_away(source, tmp_path):
    for name in ("images.npy", "skipped.csv", "cases.csv", "work/images.npy", "work/journal.jsonl"):
        (tmp_path / "out" / "work").mkdir(exist_ok=True, parents=True)
        (tmp_path / "out" / name).write_text("x")
    run(source, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cases.csv", "images.npy"]


def read_of(monkeypatch, stop=None):
    """Return the list of the cases that are read from now on; a kill comes at the case ``stop``."""
    read, real = [], ISIC2018Cls.read_prepared

    def recorded(self, raw_case, *arguments):
        if raw_case.case == stop:
            raise KeyboardInterrupt
        read.append(raw_case.case)
        return real(self, raw_case, *arguments)

    monkeypatch.setattr(ISIC2018Cls, "read_prepared", recorded)
    return read


@pytest.mark.parametrize("skip", [False, True])
def test_a_killed_job_goes_on_where_it_was(source, tmp_path, monkeypatch, skip):
    monkeypatch.setattr(prepare_stack, "PICTURES", 1)
    monkeypatch.setattr(prepare_stack, "FLUSH_SECONDS", 0)
    if skip:
        damage(source, 5, 33)
    run(source, tmp_path / "straight", skip_damaged=skip)
    for stop in (20, 31):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            read_of(patch, f"ISIC_{stop:07d}")
            run(source, tmp_path / "out", 1, skip_damaged=skip)
        assert files(tmp_path / "out") == {}
    with open(tmp_path / "out" / "work" / "journal.jsonl", "a") as handle:
        handle.write('[{"row": {"case": "ISIC_00')
    with open(tmp_path / "out" / "work" / "images.npy", "ab") as handle:
        handle.write(b"half a picture")
    read = read_of(monkeypatch)
    run(source, tmp_path / "out", skip_damaged=skip)
    assert sorted(read) == [f"ISIC_{index:07d}" for index in range(31, 40)]
    assert files(tmp_path / "out") == files(tmp_path / "straight")
    assert not (tmp_path / "out" / "work").exists()


def test_what_changed_since_the_kill_is_done_again(source, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_stack, "PICTURES", 1)
    for options, name, first in (({}, "same", 40), ({"size": [8, 8]}, "size", 0), ({}, "file", 12), ({}, "stack", 39)):
        out = tmp_path / name
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(preparing, "_publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            run(source, out)
        if name == "file":
            image = source.parent / "raw" / IMAGES / "ISIC_0000012.jpg"
            Image.open(source.parent / "raw" / IMAGES / "ISIC_0000013.jpg").save(image)
        if name == "stack":
            with open(out / "work" / "images.npy", "r+b") as handle:
                handle.truncate(handle.seek(-10, 2))
        with monkeypatch.context() as patch:
            read = read_of(patch)
            run(source, out, 1, **options)
        assert read == [f"ISIC_{index:07d}" for index in range(first, 40)]
        run(source, tmp_path / "straight", **options)
        assert files(out) == files(tmp_path / "straight")


def test_killed_between_array_and_table(source, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparing, "_write_table", killed)
        run(source, tmp_path / "out")
    with pytest.raises(BadInput, match="no prepared data in"):
        read_cases(tmp_path / "out")
    read = read_of(monkeypatch)
    assert len(run(source, tmp_path / "out").cases) == 40 and not read
