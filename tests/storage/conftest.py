from __future__ import annotations

import shutil

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


@pytest.fixture(params=["sqlite", "postgres"])
def make_storage(request):
    """Return what makes one storage without jobs after the other, of each kind: for examples, more than one a test."""
    made = []

    def make():
        made.append(_make_storage(next(locations), "normal", False))
        return made[-1]

    locations = {"sqlite": copies_of_an_empty_file, "postgres": a_database_emptied_again_and_again}[request.param](
        request
    )
    make.kind = request.param
    yield make
    for storage in made:
        storage.close()


def copies_of_an_empty_file(request):
    folder = request.getfixturevalue("tmp_path")
    empty = folder / "empty.db"
    first = _make_storage(str(empty), "normal", False)
    first.counts()
    first.close()
    number = 0
    while True:
        # A copy is made in no time, a new file in a quarter of a second.
        number += 1
        yield str(shutil.copy(empty, folder / f"jobs-{number}.db"))


def a_database_emptied_again_and_again(request):
    url = request.getfixturevalue("postgres_url")
    cleaner = request.getfixturevalue("_cleaner")
    while True:
        cleaner.clean()
        yield url
