from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob
from tests.acceptance.processes import Place


@pytest.fixture
def place(tmp_path, database):
    made = Place(tmp_path, database)
    yield made
    made.close()


@pytest.fixture
def jobs(place):
    """The queue of the place, from this process."""
    door = SQLiteJob("default", database=place.database)
    yield door
    door.close()
