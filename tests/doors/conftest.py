from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob


@pytest.fixture
def jobs(database):
    """A door without settings, to a database that is not there yet."""
    return SQLiteJob(database=database)
