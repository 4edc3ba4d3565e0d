from __future__ import annotations

import sqlite3

import pytest

from sqlite_job import SQLiteJob
from tests.cli.conftest import DATABASE

READING = [("status",), ("list",), ("show", "x"), ("wait", "x"), ("result", "x"), ("delete", "x"), ("requeue", "x")]


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_a_command_that_reads_makes_no_database(run, folder, words):
    ended = run(*words)
    assert (ended.code, ended.out) == (5, "")
    assert ended.err == (
        f"Error: There is no database {str(folder / DATABASE)!r} (the default; choose another with --database or "
        "$SQLITE_JOB_DATABASE); the first job enqueued there makes it\n"
    )
    assert list(folder.iterdir()) == []


def test_the_databases_beside_a_missing_one_are_named(run, folder):
    SQLiteJob(database=folder / "jobs.db").enqueue("f")
    assert "; that folder has jobs.db; " in run("status").err
    assert "; that folder has jobs.db; " in run("status", "--database", "job.db").err


def test_the_environment_chooses_the_database_and_an_error_says_so(run, folder, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_DATABASE", "mine.db")
    assert "mine.db' (from $SQLITE_JOB_DATABASE); " in run("list").err
    run("enqueue", "f", "--job-id", "a")
    assert run("list", "--ids").out == "a\n"
    assert (folder / "mine.db").exists()


def test_an_option_goes_before_the_environment_and_the_command_before_the_program(run, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_DATABASE", "a.db")
    for name in ("a", "b", "c"):
        run("enqueue", "f", "--job-id", name, "--database", f"{name}.db")
    assert run("list", "--ids").out == "a\n"
    assert run("--database", "b.db", "list", "--ids").out == "b\n"
    assert run("--database", "b.db", "list", "--ids", "--database", "c.db").out == "c\n"


def test_a_file_of_something_else_is_refused_and_left_as_it_is(run, folder):
    (folder / "notes.db").write_text("these are my notes, and they are no database" * 50, encoding="utf-8")
    ended = run("list", "--database", "notes.db")
    assert (ended.code, ended.out) == (5, "")
    assert "is not a SQLite database" in ended.err
    assert (folder / "notes.db").read_text(encoding="utf-8").startswith("these are my notes")


def test_a_database_of_another_application_is_refused(run, folder):
    connection = sqlite3.connect("theirs.db")
    connection.execute("PRAGMA application_id=12345")
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    ended = run("list", "--database", "theirs.db")
    assert (ended.code, "belongs to another application" in ended.err) == (5, True)


@pytest.mark.parametrize("database", [":memory:", "postgresql://localhost/jobs", "."])
def test_what_can_be_no_database_is_refused(run, folder, database):
    ended = run("list", "--database", database)
    assert (ended.code, ended.out, ended.err[:7]) == (5, "", "Error: ")
