"""Fixtures with a real PostgreSQL server, one for the whole run: a pytest plugin that tests/conftest.py names.

    postgres_server         the server of the run: its address, and databases of your own
    postgres_url            a database without anybody's rows, the same one for all tests of a pytest-xdist worker
    empty_postgres_url      a new database without any tables, for tests of the schema itself
    own_postgres_server     a durable server of the test's own, to be stopped, crashed and started again

Without PostgreSQL or psycopg the tests are skipped, or fail if SQLITE_JOB_REQUIRE_POSTGRES=1.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import uuid
from typing import Iterator, Union

import pytest

from tests.postgres.sharing import ServerOfTheController, ServerOfTheRun
from tools.postgres_server import PostgresAddress, PostgresServer, PostgresUnavailable, find_binaries, how_to_get

REQUIRED_VARIABLE = "SQLITE_JOB_REQUIRE_POSTGRES"
ADDRESS = "sqlite_job_postgres_address"
SHARED = pytest.StashKey[Union[ServerOfTheRun, ServerOfTheController]]()


def pytest_configure(config: pytest.Config) -> None:
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None:
        config.stash[SHARED] = ServerOfTheRun()
    else:
        config.stash[SHARED] = ServerOfTheController(tuple(workerinput[ADDRESS]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell a worker of pytest-xdist, before it starts, whom to ask."""
    node.workerinput[ADDRESS] = node.config.stash[SHARED].address_for_workers()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SHARED].close()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig) -> PostgresAddress:
    need_psycopg()
    try:
        return pytestconfig.stash[SHARED].get()
    except PostgresUnavailable as error:
        do_without(str(error))


@pytest.fixture(scope="session")
def _database_of_the_worker(postgres_server, worker_name) -> Iterator[str]:
    postgres_server.create_database(worker_name)
    yield worker_name
    postgres_server.drop_database(worker_name)


@pytest.fixture(scope="session")
def worker_name() -> str:
    return "tests_" + os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def _cleaner(postgres_server, _database_of_the_worker):
    from tests.postgres.cleaning import Cleaner  # psycopg may not be there

    cleaner = Cleaner(postgres_server.conninfo_of(_database_of_the_worker))
    yield cleaner
    cleaner.close()


@pytest.fixture
def postgres_url(postgres_server, _database_of_the_worker, _cleaner) -> str:
    let_go()
    _cleaner.clean()
    return postgres_server.url_of(_database_of_the_worker)


def let_go() -> None:
    """End the listeners that an earlier test has left: they would connect again, and hold the locks of its workers."""
    storages = sys.modules.get("sqlite_job.storage.postgres.storage")
    for storage in list(getattr(storages, "_all_storages", ())):
        storage._listener._workers.clear()
        storage._listener._callbacks.clear()
        storage._listener.close()


@pytest.fixture
def empty_postgres_url(postgres_server) -> Iterator[str]:
    name = f"empty_{uuid.uuid4().hex}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    need_psycopg()
    server = PostgresServer(durable=True)
    try:
        server.start()
    except PostgresUnavailable as error:
        do_without(str(error))
    with server:
        yield server


def need_psycopg() -> None:
    if importlib.util.find_spec("psycopg") is None:
        do_without(f"no psycopg found. {how_to_get()}")


def need_server() -> None:
    """Go on only where a server of one's own can be started."""
    need_psycopg()
    try:
        find_binaries()
    except PostgresUnavailable as error:
        do_without(str(error))


def do_without(reason: str) -> None:
    """Skip the test that runs, or fail it where nobody may lose such tests silently."""
    if os.environ.get(REQUIRED_VARIABLE) == "1":
        pytest.fail(f"{REQUIRED_VARIABLE}=1, but {reason}", pytrace=False)
    pytest.skip(f"NOT RUN ON POSTGRESQL: {reason}")
