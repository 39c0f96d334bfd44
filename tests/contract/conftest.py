"""One thread, one tiny data set, and one straight training per method that the checks share."""

import pytest
import tiny
import torch
from tiny_data import write_data


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_of(tmp_path_factory):
    """Return the tiny prepared data set of a subject; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    made = {kind: write_data(folder / f"{kind}-data", kind) for kind in tiny.SETUPS}
    return lambda subject: made[tiny.kind_of(subject)]


@pytest.fixture(scope="session")
def data(data_of):
    """The tiny prepared volumes; not to be changed."""
    return data_of("")


@pytest.fixture(scope="session")
def warmups(tmp_path_factory, data_of):
    """Return the folder of a method's finished warm-up, ``None`` for a method without one."""
    done = {}

    def get(name):
        if name not in tiny.WITH_WARMUP:
            return None
        if name not in done:
            folder = tmp_path_factory.mktemp("warmup") / "run"
            done[name] = tiny.run(tiny.make_spec(name, "warmup"), folder, data_of(name), stage="warmup", kept=[])
        return done[name]

    return get


@pytest.fixture(scope="session")
def straight(tmp_path_factory, data_of, warmups):
    """Return the folder of a method's training that nothing interrupted."""
    done = {}

    def get(name):
        if name not in done:
            folder = tmp_path_factory.mktemp("straight") / "run"
            done[name] = tiny.run(tiny.make_spec(name), folder, data_of(name), warmup=warmups(name))
        return done[name]

    return get


@pytest.fixture
def trainer(tmp_path, data_of):
    """Return a fresh trainer of a method, before its first step."""

    def get(name, stage="train", **changes):
        spec = tiny.make_spec(name, stage, validation=False, **changes)
        return tiny.make_trainer(tiny.make_job(spec, tmp_path / "trainer", data_of(name), stage=stage))

    return get
