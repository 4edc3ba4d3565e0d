from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob
from tests.testing.tasks import Settings


@pytest.fixture
def settings(tmp_path):
    settings = Settings(tmp_path / "jobs.db")
    yield settings
    SQLiteJob("default", settings).close()


@pytest.fixture
def jobs(settings):
    return SQLiteJob("default", settings)
