from __future__ import annotations

import pytest

from sqlite_job.storage.opening import _make_storage, locate
from tests.storage.making import LEASE, NOW, WORKERS


@pytest.fixture
def path(tmp_path):
    """Where the database of a SQLite test is."""
    return locate(tmp_path / "jobs.db")


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request):
    """A storage of each kind, with workers 1 to 7 registered: the contract is the same on every database."""
    fixture = {"sqlite": "path", "postgres": "postgres_url"}[request.param]
    # Not the one that a process shares: what a test leaves of it is not for the next.
    made = _make_storage(locate(request.getfixturevalue(fixture)), "full", False)
    workers = [made.register_worker(("default",), NOW, LEASE) for _ in WORKERS]
    assert workers == list(WORKERS)
    yield made
    for worker_id in WORKERS:
        made.unregister_worker(worker_id)
    made.close()
