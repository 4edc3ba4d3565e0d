from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sqlite_job import testing

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", testing.__all__)
def test_every_helper_can_be_imported_and_has_a_docstring(name):
    assert inspect.getdoc(getattr(testing, name))
    assert name in dir(testing)


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(ImportError, match="cannot import name 'drainn'"):
        exec("from sqlite_job.testing import drainn")


def test_nobody_who_enqueues_or_works_imports_the_helpers(tmp_path):
    code = """
import sys
from sqlite_job import SQLiteJob, Worker, WorkerSettings
class Settings(WorkerSettings):
    functions = [print]
    database = sys.argv[1]
SQLiteJob("default", Settings()).enqueue(print)
assert Worker("default", Settings()).run(burst=True) == 1
sys.exit(any(name.startswith("sqlite_job.testing") for name in sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code, tmp_path / "jobs.db"], check=True, env=environment)


def test_the_seams_are_empty_without_a_test():
    from sqlite_job import connections
    from sqlite_job.core import clock

    assert clock.stand_in is None
    assert connections.after_enqueue is None
