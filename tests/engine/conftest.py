from __future__ import annotations

import pytest

from sqlite_job.storage.sqlite import SqliteStorage
from tests.engine.making import Bench


@pytest.fixture
def storage(tmp_path):
    made = SqliteStorage(str(tmp_path / "jobs.db"), "full")
    yield made
    made.close()


@pytest.fixture
def bench(storage):
    """Make a bench whose functions add, or whatever is given."""
    made = []

    def make(functions=None, **options):
        made.append(Bench(storage, functions or {"add": lambda a, b: a + b}, **options))
        return made[-1]

    yield make
    for one in made:
        one.watcher.close()
