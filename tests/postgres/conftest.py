from __future__ import annotations

import pytest

from tests.postgres.interleaving import Stage
from tests.storage.making import LEASE, NOW


@pytest.fixture
def stage(postgres_url):
    """An empty database, on which several storages write at the same time."""
    made = Stage(postgres_url)
    yield made
    made.close()


@pytest.fixture
def first(stage):
    """A storage with worker 1."""
    made = stage.storage("first")
    assert made.register_worker(("default",), NOW, LEASE) == 1
    yield made
    made.unregister_worker(1)


@pytest.fixture
def second(stage, first):
    """Another one, with worker 2."""
    made = stage.storage("second")
    assert made.register_worker(("default",), NOW, LEASE) == 2
    yield made
    made.unregister_worker(2)
