from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob


@pytest.fixture
def database(tmp_path):
    """Where the database of a test is; whatever opened it, it is closed at the end."""
    path = tmp_path / "jobs.db"
    yield path
    # All doors of a process share one storage for each database and durability: closing one door closes them all.
    for durability in ("full", "normal"):
        SQLiteJob(database=path, durability=durability).close()


@pytest.fixture
def jobs(database):
    """A door without settings, to a database that is not there yet."""
    return SQLiteJob(database=database)
