from __future__ import annotations

import pytest

from sqlite_job.storage.opening import locate
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import LEASE, NOW, WORKERS


@pytest.fixture
def path(tmp_path):
    """Where the database of a SQLite test is."""
    return locate(tmp_path / "jobs.db")


@pytest.fixture(params=["sqlite"])
def storage(request, path):
    """A storage of each kind, with workers 1 to 7 registered: the contract is the same on every database."""
    made = {"sqlite": lambda: SqliteStorage(path, "full")}[request.param]()
    workers = [made.register_worker(("default",), NOW, LEASE) for _ in WORKERS]
    assert workers == list(WORKERS)
    yield made
    for worker_id in WORKERS:
        made.unregister_worker(worker_id)
    made.close()
