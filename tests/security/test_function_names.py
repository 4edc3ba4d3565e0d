"""A function is found in the settings alone: no text from the database is ever imported."""

from __future__ import annotations

import logging
import sys

import pytest

from sqlite_job import SQLiteJob, Worker
from tests.doors.making import drain, execute, settings_of

NAMES = ["os.system", "builtins.eval", "tripwire_module.run", "tripwire_module:run", "add.__globals__", "__import__"]


def add(a, b):
    return a + b


@pytest.fixture
def _tripwire(tmp_path, monkeypatch):
    """A module that can be imported, and must not be."""
    (tmp_path / "tripwire_module.py").write_text("def run(*args): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    assert "tripwire_module" not in sys.modules


@pytest.mark.usefixtures("_tripwire")
@pytest.mark.parametrize("name", NAMES)
def test_a_job_that_names_a_path_to_code_stays_pending_with_a_warning(database, caplog, name):
    settings = settings_of(database, add)
    forged = SQLiteJob(database=database).enqueue(name, "echo 1")
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)

    with caplog.at_level(logging.WARNING, "sqlite_job"):
        assert drain(settings) == 1

    assert job.result(timeout=0) == 3
    assert forged.info().status.value == "pending"
    assert forged.info().tries == 0
    assert f"Jobs wait for a function {name!r}, which this worker does not have" in caplog.text


@pytest.mark.usefixtures("_tripwire")
def test_a_name_that_was_changed_in_the_table_is_not_followed(database):
    settings = settings_of(database, add)
    job = SQLiteJob("default", settings).enqueue(add, 1, 2)
    execute(database, "UPDATE sqlitejob_job SET function = 'tripwire_module.run'")

    with Worker("default", settings).running_in_background():
        other = SQLiteJob("default", settings).enqueue(add, 3, 4)
        assert other.result(timeout=20) == 7

    assert job.info().status.value == "pending"


def test_a_function_that_the_program_has_but_the_settings_do_not_list_is_not_run(database):
    settings = settings_of(database, add)
    job = SQLiteJob(database=database).enqueue(drain, 1)

    assert drain(settings) == 0

    assert job.info().status.value == "pending"
