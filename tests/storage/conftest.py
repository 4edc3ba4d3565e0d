from __future__ import annotations

import pytest

from sqlite_job.storage.opening import locate
from sqlite_job.storage.sqlite import SqliteStorage


@pytest.fixture
def path(tmp_path):
    """Where the database of a SQLite test is."""
    return locate(tmp_path / "jobs.db")


@pytest.fixture(params=["sqlite"])
def storage(request, path):
    """A storage of each kind: the contract is the same on every database."""
    made = {"sqlite": lambda: SqliteStorage(path, "full")}[request.param]()
    yield made
    made.close()
