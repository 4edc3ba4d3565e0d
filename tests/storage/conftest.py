from __future__ import annotations

import os

import pytest

from sqlite_job.storage.opening import locate
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import LEASE, NOW, WORKERS


@pytest.fixture
def path(tmp_path):
    """Where the database of a SQLite test is."""
    return locate(tmp_path / "jobs.db")


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request, path):
    """A storage of each kind, with workers 1 to 7 registered: the contract is the same on every database."""
    if request.param == "postgres":
        import psycopg

        from sqlite_job.storage.postgres.address import parse
        from sqlite_job.storage.postgres.storage import PostgresStorage

        w = os.environ.get("PYTEST_XDIST_WORKER", "m")
        admin = "postgresql://postgres@127.0.0.1:54329/postgres"
        with psycopg.connect(admin, autocommit=True) as c:
            if not c.execute("SELECT 1 FROM pg_database WHERE datname=%s", [f"t_{w}"]).fetchall():
                c.execute(f"CREATE DATABASE t_{w}")
        url = f"postgresql://postgres@127.0.0.1:54329/t_{w}"
        with psycopg.connect(url, autocommit=True) as c:
            c.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname=current_database()"
            )
            names = [
                r[0]
                for r in c.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname='public' AND tablename<>'sqlitejob_version'"
                )
            ]
            if names:
                c.execute("TRUNCATE " + ",".join(names) + " RESTART IDENTITY")
        made = PostgresStorage(parse(url), "full")
    else:
        made = SqliteStorage(path, "full")
    workers = [made.register_worker(("default",), NOW, LEASE) for _ in WORKERS]
    assert workers == list(WORKERS)
    yield made
    for worker_id in WORKERS:
        made.unregister_worker(worker_id)
    made.close()
