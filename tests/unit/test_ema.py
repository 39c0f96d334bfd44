"""The teacher: its first step, its momentum, and what happens to running statistics."""

import pytest
import torch
from semimed.ema import Teacher
from torch import nn


class Clock:
    step = 1


@pytest.fixture
def student():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def change(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    network.train()(torch.randn(5, 3) + 4)


def test_after_the_first_step_teacher_equals_student(student):
    teacher = Teacher(student)
    change(student)
    teacher.follow(student, 0)
    pairs = zip(teacher.network.parameters(), student.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_parameters_are_averaged(student):
    teacher, limited = Teacher(student, 0.99), Teacher(student, 0.25)
    old = [p.clone() for p in student.parameters()]
    change(student)
    teacher.follow(student, Clock())  # a = min(1 - 1/2, 0.99)
    limited.follow(student, 1000)
    for mine, other, before in zip(teacher.network.parameters(), limited.network.parameters(), old, strict=True):
        assert torch.allclose(mine, before + 0.5) and torch.allclose(other, before + 0.75)


@pytest.mark.parametrize("mode", ["own", "copy", "average"])
def test_running_statistics(student, mode):
    teacher = Teacher(student, 0.9, mode)
    before = student[1].running_mean.clone()
    change(student)
    teacher.follow(student, 1)
    after = student[1].running_mean
    expected = {"own": before, "copy": after, "average": (before + after) / 2}[mode]
    assert not torch.allclose(before, after) and torch.allclose(teacher.network[1].running_mean, expected)
    assert teacher.network[1].num_batches_tracked == (0 if mode == "own" else 1)


def test_own_statistics_are_gathered_in_train_mode(student):
    teacher = Teacher(student, 0.9, "own").train()
    teacher(torch.randn(5, 3) + 4)
    assert teacher.network[1].running_mean.any() and not student[1].running_mean.any()


def test_the_teacher_has_no_gradients_and_is_part_of_the_state(student):
    teacher = Teacher(student)
    image = torch.randn(5, 3, requires_grad=True)
    assert not teacher(image).requires_grad and not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters()) and len(teacher.state_dict()) == len(student.state_dict())
    teacher.follow(student, 3)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_unknown_mode(student):
    with pytest.raises(ValueError, match="own, copy or average"):
        Teacher(student, 0.9, "theirs")


@pytest.mark.parametrize(("share", "value"), [(0.5, 1.3), (0.99, 1.202)])
def test_two_students_are_mixed(share, value):
    """UCMT's toy check: theta = 1, theta_1 = 3, theta_2 = 5, a = 0.9; the mixtures of its paper and of its code."""
    networks = [nn.Linear(1, 1, bias=False) for _ in range(3)]
    for network, weight in zip(networks, (1.0, 3.0, 5.0), strict=True):
        nn.init.constant_(network.weight, weight)
    teacher, first, second = Teacher(networks[0], 0.9), *networks[1:]
    teacher.follow(first, 9, second, share)
    assert teacher.network.weight.item() == pytest.approx(value, abs=1e-6)
    teacher.follow(first, 0, second, share)
    assert teacher.network.weight.item() == pytest.approx(share * 3 + (1 - share) * 5, abs=1e-6)
    assert (first.weight.item(), second.weight.item()) == (3.0, 5.0)


@pytest.mark.parametrize(("mode", "expected"), [("own", 0.0), ("copy", 3.5), ("average", 1.75)])
def test_running_statistics_of_two_students_are_mixed(mode, expected):
    teacher, first, second = Teacher(nn.BatchNorm1d(2), 0.9, mode), nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    first.running_mean.fill_(3.0)
    second.running_mean.fill_(5.0)
    first.num_batches_tracked.fill_(7)
    teacher.follow(first, 1, second, 0.75)
    assert torch.allclose(teacher.network.running_mean, torch.full((2,), expected))
    assert teacher.network.num_batches_tracked == (0 if mode == "own" else 7)
