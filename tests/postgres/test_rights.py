"""A role of one's own needs no more than a schema of its own."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from sqlite_job import SQLiteJob, Worker, WorkerSettings


def add(a, b):
    return a + b


class Settings(WorkerSettings):
    functions = [add]


@pytest.fixture
def url_of_role(postgres_server, empty_postgres_url, worker_name):
    """The URL of a role that owns the schema "jobs", and has no other right."""
    import psycopg

    url, name = make_url(empty_postgres_url), f"owner_{worker_name}"  # a role is known to all databases
    with psycopg.connect(postgres_server.conninfo_of(url.database), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        connection.execute(f"CREATE SCHEMA jobs AUTHORIZATION {name}")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    role = url.set(username=name, password="secret").update_query_dict({"schema": "jobs"})
    yield role.render_as_string(hide_password=False)
    with psycopg.connect(postgres_server.conninfo_of(url.database), autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {name} CASCADE")
        connection.execute(f"DROP ROLE {name}")


def test_a_schema_that_was_made_for_a_role_is_all_it_needs(url_of_role):
    jobs = SQLiteJob(database=url_of_role)
    job = jobs.enqueue("add", 1, 2)
    assert Worker("default", Settings(url_of_role)).run(burst=True) == 1
    assert job.result(timeout=0) == 3
    jobs.close()


def test_a_queue_is_moved_to_it_and_away_again(url_of_role, tmp_path):
    from sqlite_job.moving import move

    here, back = tmp_path / "here.db", tmp_path / "back.db"
    jobs = SQLiteJob(database=here)
    jobs.enqueue("add", 1, 2)
    jobs.close()
    first, second = move(here, url_of_role), move(url_of_role, back)
    assert (first.jobs, first.checksum) == (second.jobs, second.checksum) == (1, first.checksum)
