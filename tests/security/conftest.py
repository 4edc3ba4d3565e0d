from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob


@pytest.fixture
def database(tmp_path):
    """Where the database of a test is; whatever opened it, it is closed at the end."""
    path = tmp_path / "jobs.db"
    yield path
    SQLiteJob(database=path).close()
