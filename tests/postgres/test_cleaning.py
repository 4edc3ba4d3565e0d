"""A test finds its database without the rows, tables, schemas and connections of the tests before it."""

from __future__ import annotations

import pytest

TABLES = """
CREATE TABLE sqlitejob_job (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text CHECK (id <> 'refused'));
CREATE TABLE sqlitejob_payload (seq bigint REFERENCES sqlitejob_job, args text);
CREATE TABLE sqlitejob_version (version_num text);
INSERT INTO sqlitejob_version VALUES ('0001');
"""


@pytest.fixture
def database(postgres_server, empty_postgres_url):
    return postgres_server.conninfo_of(empty_postgres_url.rpartition("/")[2])


@pytest.fixture
def clean(database):
    from tests.postgres.cleaning import Cleaner  # psycopg may not be there

    cleaner = Cleaner(database)
    yield cleaner.clean
    cleaner.close()


def run(database, statements):
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(statements)


def ask(database, question):
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        return [row[0] for row in connection.execute(question)]


def test_a_database_without_tables_may_be_cleaned(clean):
    clean()


def test_our_tables_are_emptied_but_for_the_version_of_the_schema(database, clean):
    run(database, TABLES + "INSERT INTO sqlitejob_job (id) VALUES ('a'); INSERT INTO sqlitejob_payload VALUES (1, 'x')")
    clean()
    assert ask(database, "SELECT seq FROM sqlitejob_job UNION ALL SELECT seq FROM sqlitejob_payload") == []
    assert ask(database, "SELECT version_num FROM sqlitejob_version") == ["0001"]


def test_numbers_begin_again_even_if_no_row_was_written(database, clean):
    import psycopg

    run(database, TABLES)
    with pytest.raises(psycopg.errors.CheckViolation):
        run(database, "INSERT INTO sqlitejob_job (id) VALUES ('refused')")
    clean()
    assert ask(database, "INSERT INTO sqlitejob_job (id) VALUES ('a') RETURNING seq") == [1]


def test_tables_and_schemas_that_a_test_made_are_dropped(database, clean):
    run(database, TABLES + 'CREATE TABLE "the user\'s" (n int); CREATE SCHEMA "Other"; CREATE TABLE "Other".t (n int)')
    clean()
    assert ask(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1") == [
        "sqlitejob_job",
        "sqlitejob_payload",
        "sqlitejob_version",
    ]
    assert ask(database, "SELECT nspname FROM pg_namespace WHERE nspname = 'Other'") == []


def test_a_connection_that_was_left_with_its_locks_is_ended(database, clean):
    import psycopg

    run(database, TABLES)
    left = psycopg.connect(database)
    left.execute("INSERT INTO sqlitejob_job (id) VALUES ('a')")
    left.execute("LOCK TABLE sqlitejob_job")

    clean()

    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    left.close()
    assert ask(database, "SELECT seq FROM sqlitejob_job") == []


def test_a_test_may_end_all_connections(database, clean):
    run(database, TABLES + "INSERT INTO sqlitejob_job (id) VALUES ('a')")
    run(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()",
    )
    clean()
    assert ask(database, "SELECT seq FROM sqlitejob_job") == []


@pytest.mark.parametrize("number", [1, 2])
def test_each_test_gets_the_url_of_an_empty_database(postgres_url, number):
    database = postgres_url.replace("postgresql+psycopg", "postgresql")
    assert ask(database, "SELECT relname FROM pg_class WHERE relname = 'left_by_a_test'") == []
    run(database, "CREATE TABLE left_by_a_test (n int)")
