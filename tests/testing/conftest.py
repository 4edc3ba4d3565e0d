from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob
from tests.testing.tasks import Settings


@pytest.fixture
def settings(database):
    return Settings(database)


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)
