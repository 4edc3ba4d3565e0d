"""Run tests on a file and on PostgreSQL: a pytest plugin that tests/conftest.py names.

    database          where the database of the test is: a path, or the URL of a database without rows
    other_database    where a second one is: another file, or another schema
    database_kind     "sqlite" or "postgres"

A test that takes one of them, be it by another fixture, is run twice. One that is about files as such says so with
`@pytest.mark.files("why")`, or `pytestmark`, and is run once.
"""

from __future__ import annotations

import pytest

from sqlite_job import SQLiteJob

KINDS = [
    "sqlite",
    # tools/test_everywhere.py leaves these to the default Python.
    pytest.param("postgres", marks=pytest.mark.also_on_postgres),
]


def pytest_generate_tests(metafunc):
    if "database_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker("files") is None:
        metafunc.parametrize("database_kind", KINDS, indirect=True)


@pytest.fixture
def database_kind(request):
    return getattr(request, "param", "sqlite")


@pytest.fixture
def database(request, database_kind):
    """Where the database of a test is; whatever opened it, it is closed at the end."""
    if database_kind == "postgres":
        found = request.getfixturevalue("postgres_url")
    else:
        found = request.getfixturevalue("tmp_path") / "jobs.db"
    yield found
    close(found)


@pytest.fixture
def other_database(database, database_kind, request):
    """Where a second one is, for what has nothing to do with the first."""
    if database_kind == "postgres":
        found = f"{database}?schema=other"
    else:
        found = request.getfixturevalue("tmp_path") / "other.db"
    yield found
    close(found)


def close(database):
    # All doors of a process share one storage for each database and durability: closing one door closes them all.
    for durability in ("full", "normal"):
        SQLiteJob(database=database, durability=durability).close()
