"""Checkpoints that were cut, replaced or swapped."""

import logging
import os
from pathlib import Path

import pytest
import torch
from semimed import checkpoint
from semimed.errors import BadInput


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.fixture
def resume(tmp_path):
    """Two saves of run ``mine``, of steps 1 and 2."""
    made = checkpoint.ResumeFile(tmp_path)
    for step in (1, 2):
        made.save({"hash": "mine", "step": step, "weights": torch.full((3000,), float(step))})
    return made


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_round_trip(tmp_path):
    content = {"tensor": torch.randn(3), "half": torch.ones(2, dtype=torch.bfloat16), "plain": [1, 2.5, "x", None, (True,)]}
    checkpoint.save(tmp_path / "a" / "x.pt", content)
    found = checkpoint.load(tmp_path / "a" / "x.pt")
    assert torch.equal(found["tensor"], content["tensor"]) and found["half"].dtype == torch.bfloat16
    assert found["plain"] == content["plain"] and [path.name for path in (tmp_path / "a").iterdir()] == ["x.pt"]


def test_the_newest_is_used_and_the_one_before_kept(resume, tmp_path):
    assert resume.load("mine")["step"] == 2 and checkpoint.load(resume.previous)["step"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resume.previous.pt", "resume.pt"]


@pytest.mark.parametrize("share", [0, 0.01, 0.25, 0.5, 0.9, 0.999])
def test_a_cut_one_gives_way_to_the_previous_one(resume, caplog, share):
    cut(resume.current, share)
    with caplog.at_level(logging.WARNING, "semimed"):
        assert resume.load("mine")["step"] == 1
    assert f"checkpoint {resume.current} is damaged" in caplog.text and "trying the previous one" in caplog.text


def test_killed_between_the_two_renames(resume):
    resume.current.rename(resume.current.with_name("resume.new.pt"))
    assert resume.load("mine")["step"] == 1


def test_both_cut_is_one_line(resume):
    for path in (resume.current, resume.previous):
        cut(path)
    with pytest.raises(BadInput, match=r"every checkpoint in .* is damaged: delete the folder") as caught:
        resume.load("mine")
    assert "\n" not in str(caught.value)


def test_another_hash_starts_from_step_0_and_says_so(resume, caplog):
    with caplog.at_level(logging.WARNING, "semimed"):
        assert resume.load("yours") is None
    assert "belongs to another configuration, data or code; training starts from step 0" in caplog.text


def test_none_is_none(tmp_path):
    assert checkpoint.ResumeFile(tmp_path).load("mine") is None


def test_a_failed_save_leaves_the_old_ones(resume, monkeypatch, tmp_path):
    def full(path, content):
        path.open("wb").write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadInput, match="the disk is full"):
        resume.save({"hash": "mine", "step": 3})
    assert resume.load("mine")["step"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resume.previous.pt", "resume.pt"]


@pytest.mark.parametrize("content", [{"step": 1}, {"format": 99}, [1, 2], torch.ones(2)])
def test_foreign_files(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="not a checkpoint of this program"):
        checkpoint.load(tmp_path / "x.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"format": checkpoint.FORMAT, "evil": Evil()}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="damaged"):
        checkpoint.load(tmp_path / "x.pt")


def test_missing(tmp_path):
    with pytest.raises(BadInput, match=r"no checkpoint .*x\.pt: train the run first"):
        checkpoint.load(tmp_path / "x.pt")
