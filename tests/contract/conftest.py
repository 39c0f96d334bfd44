"""One thread, one tiny data set, and one straight training per method that the checks share."""

import pytest
import tiny
import torch


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The tiny prepared data set; not to be changed."""
    return tiny.write_data(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def warmups(tmp_path_factory, data):
    """Return the folder of a method's finished warm-up, ``None`` for a method without one."""
    done = {}

    def get(name):
        if name not in tiny.WITH_WARMUP:
            return None
        if name not in done:
            folder = tmp_path_factory.mktemp("warmup") / name
            done[name] = tiny.run(tiny.make_spec(name, "warmup"), folder, data, stage="warmup", kept=[])
        return done[name]

    return get


@pytest.fixture(scope="session")
def straight(tmp_path_factory, data, warmups):
    """Return the folder of a method's training that nothing interrupted."""
    done = {}

    def get(name):
        if name not in done:
            folder = tmp_path_factory.mktemp("straight") / name
            done[name] = tiny.run(tiny.make_spec(name), folder, data, warmup=warmups(name))
        return done[name]

    return get


@pytest.fixture
def trainer(tmp_path, data):
    """Return a fresh trainer of a method, before its first step."""

    def get(name, stage="train", **changes):
        spec = tiny.make_spec(name, stage, validation=False, **changes)
        return tiny.make_trainer(tiny.make_job(spec, tmp_path / name, data, stage=stage))

    return get
