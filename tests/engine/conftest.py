from __future__ import annotations

import pytest

from sqlite_job.storage.opening import _make_storage, locate
from tests.engine.making import Bench
from tests.storage.making import WORKERS


@pytest.fixture
def storage(database):
    # Not the one that a process shares: what a test leaves of it is not for the next.
    made = _make_storage(locate(database), "full", False)
    yield made
    # Whoever is left registered would have the lock of the next test's worker, which has the same number.
    for worker_id in WORKERS:
        made.unregister_worker(worker_id)
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
