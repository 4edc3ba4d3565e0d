"""The fixtures, as a project uses them: in a pytest of its own, where warnings are errors."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).resolve().parents[2]

TASKS = """
from sqlite_job import SQLiteJob, WorkerSettings

def add(a, b):
    return a + b

class Settings(WorkerSettings):
    functions = [add]

def order(amount):
    return SQLiteJob("default").enqueue(add, amount, 1)
"""


class Project:
    def __init__(self, folder):
        self.folder = folder
        self.write("shop_tasks.py", TASKS)
        self.configure("sqlite_job_settings = shop_tasks.Settings")

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def configure(self, *lines):
        self.write("pytest.ini", "\n".join(["[pytest]", "filterwarnings = error", "pythonpath = .", *lines]))

    def pytest(self, *options):
        """Return the counts of the summary line, and all that was printed."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "sqlite_job.testing.pytest_plugin", *options]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SQLITE_JOB"))}
        run = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=self.folder,
            # Whether the entry point is installed or not: here the plugin is named.
            env={**kept, "PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        printed = run.stdout + run.stderr
        return {
            word.rstrip("s"): int(count) for count, word in re.findall(r"(\d+) (passed|failed|errors?)", printed)
        }, printed


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_all_fixtures_work_together_on_one_database(project):
    project.write(
        "test_shop.py",
        """
from datetime import timedelta
import pytest
from sqlite_job import SQLiteJob, call
from sqlite_job.testing import assert_enqueued, FakeClock
from shop_tasks import Settings, add, order

def test_drain(job_queue, drain_jobs, sqlite_job_database, sqlite_job_settings):
    job = order(41)
    assert_enqueued(job_queue, call(add, 41, 1), count=1)
    assert drain_jobs().counts == {"completed": 1}
    assert job.result(timeout=0) == 42
    assert isinstance(sqlite_job_settings, Settings)
    assert sqlite_job_settings.location == str(sqlite_job_database.resolve())

def test_each_test_has_a_database_of_its_own(job_queue, drain_jobs):
    assert job_queue.list_jobs() == []
    assert drain_jobs("default", max_jobs=1).runs == 0

def test_inline(inline_jobs):
    assert order(1).result(timeout=0) == 2
    assert inline_jobs.enqueue(add, 2, 3).result(timeout=0) == 5

def test_names_are_checked(job_queue):
    with pytest.raises(ValueError, match="did you mean 'add'"):
        job_queue.enqueue("adt", 1, 2)

def test_three_days_later(fake_clock, job_queue, drain_jobs):
    assert isinstance(fake_clock, FakeClock)
    job_queue.with_options(delay=timedelta(days=3)).enqueue(add, 1, 2)
    assert drain_jobs().runs == 0
    fake_clock.advance(timedelta(days=3))
    assert drain_jobs().runs == 1
""",
    )

    counts, printed = project.pytest()

    assert counts == {"passed": 5}, printed


def test_the_default_database_is_the_tests_own_and_restored_after_it(project):
    project.write(
        "test_shop.py",
        """
import os
from sqlite_job.settings import default_database
from shop_tasks import Settings, order

def test_inside(sqlite_job_database):
    assert default_database() == os.environ["SQLITE_JOB_DATABASE"] == str(sqlite_job_database)
    order(1)
    assert sqlite_job_database.exists()
    assert Settings().location == str(sqlite_job_database.resolve())

def test_outside():
    assert default_database() == "sqlite_job.db"
""",
    )

    counts, printed = project.pytest()

    assert counts == {"passed": 2}, printed
    assert not (project.folder / "sqlite_job.db").exists()


@pytest.mark.parametrize("returned", ["Settings", "Settings(sqlite_job_database)"])
def test_settings_can_be_a_fixture_of_ones_own(project, returned):
    project.configure()
    project.write(
        "test_shop.py",
        f"""
import pytest
from shop_tasks import Settings, add

@pytest.fixture
def sqlite_job_settings(sqlite_job_database):
    return {returned}

def test_it(job_queue, drain_jobs, inline_jobs):
    assert inline_jobs.enqueue(add, 1, 2).result(timeout=0) == 3
    assert drain_jobs().runs == 0
    assert len(job_queue.list_jobs()) == 1
""",
    )

    counts, printed = project.pytest()

    assert counts == {"passed": 1}, printed


def test_without_settings_jobs_can_be_enqueued_and_not_run(project):
    project.configure()
    project.write(
        "test_shop.py",
        """
def test_enqueue(job_queue):
    assert job_queue.enqueue("unheard_of").status() == "pending"

def test_drain(drain_jobs):
    pass

def test_inline(inline_jobs):
    pass
""",
    )

    counts, printed = project.pytest()

    assert counts == {"passed": 1, "error": 2}, printed
    assert "drain_jobs runs jobs, so it needs your settings: name the class in the configuration of pytest " in printed
    assert "inline_jobs runs jobs, so it needs your settings" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("shop_tasks.Setings", "shop_tasks has no 'Setings' (did you mean 'Settings'?)"),
        ("shop_task.Settings", "No module named 'shop_task'"),
        ("shop_tasks.add", "shop_tasks.add is of the type function, not a subclass of WorkerSettings"),
    ],
)
def test_settings_that_are_not_there_are_an_error_with_the_mend(project, setting, message):
    project.configure(f"sqlite_job_settings = {setting}")
    project.write("test_shop.py", "def test_it(job_queue): pass")

    counts, printed = project.pytest()

    assert counts == {"error": 1}, printed
    assert f"sqlite_job_settings: {message}" in printed


def test_a_fixture_that_returns_something_else_is_an_error_with_the_mend(project):
    project.write(
        "test_shop.py",
        """
import pytest

@pytest.fixture
def sqlite_job_settings():
    return "shop_tasks.Settings"

def test_it(job_queue): pass
""",
    )

    counts, printed = project.pytest()

    assert counts == {"error": 1}, printed
    assert "the fixture sqlite_job_settings takes an instance of WorkerSettings" in printed


def test_failed_assertions_point_at_the_line_of_the_test(project):
    project.write(
        "test_shop.py",
        """
from sqlite_job.testing import assert_enqueued
from shop_tasks import add, order

def test_it(job_queue):
    order(1)
    assert_enqueued(job_queue, add, queue="other")
""",
    )

    counts, printed = project.pytest()

    assert counts == {"failed": 1}, printed
    assert "add(1, 1)  <- queue='default'" in printed
    assert "test_shop.py:7: AssertionError" in printed
    assert "raise AssertionError" not in printed


def test_several_processes_of_xdist_do_not_meet(project):
    project.write(
        "test_shop.py",
        """
import pytest
from shop_tasks import order

@pytest.mark.parametrize("amount", range(8))
def test_it(job_queue, drain_jobs, amount):
    job = order(amount)
    assert drain_jobs().runs == 1
    assert job.result(timeout=0) == amount + 1
""",
    )

    counts, printed = project.pytest("-p", "xdist", "-n", "2")

    assert counts == {"passed": 8}, printed


def test_the_fixtures_are_listed_with_what_they_are(project):
    project.write("test_shop.py", "def test_it(): pass")

    _, printed = project.pytest("--fixtures")

    for fixture in (
        "sqlite_job_database",
        "sqlite_job_settings",
        "job_queue",
        "drain_jobs",
        "inline_jobs",
        "fake_clock",
    ):
        assert re.search(rf"^{fixture} -- .*\n    \w", printed, re.MULTILINE), fixture


def test_loading_the_plugin_imports_nothing_heavy():
    heavy = "('sqlalchemy', 'alembic', 'asyncio', 'rich', 'sqlite_job.engine', 'sqlite_job.worker', 'sqlite_job.cli')"
    look = f"""
import sys
import sqlite_job.testing.pytest_plugin
{{name for name in sys.modules if name.startswith({heavy})}} and sys.exit(repr(sorted(sys.modules)))
"""
    # pytest itself imports asyncio in some versions: what comes from us is what is new.
    code = f"import pytest, sys; before = set(sys.modules)\n{look}".replace(
        "in sys.modules if", "in set(sys.modules) - before if"
    )

    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})


@pytest.mark.skipif(tomllib is None, reason="needs Python 3.11, which reads TOML")
def test_the_entry_point_names_the_plugin():
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]

    (module,) = entry_points["pytest11"].values()

    assert list(entry_points["pytest11"]) == ["sqlite_job"]
    assert hasattr(importlib.import_module(module), "pytest_addoption")
