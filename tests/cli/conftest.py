"""Give the tests of the command line a folder of their own, and two ways to run a command in it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import pytest
from click.testing import CliRunner

from sqlite_job import SQLiteJob, Worker, WorkerSettings
from sqlite_job.cli.program import program

DATABASE = "sqlite_job.db"

# Nothing in it may wait: a test that needs time says so.
TASKS = """
from sqlite_job import Cancel, WorkerSettings


def add_numbers(a, b):
    return a + b


def divide(a, b):
    return a / b


def stop():
    raise Cancel("no need")


def echo(*args, **kwargs):
    return args, kwargs


class MyWorkerSettings(WorkerSettings):
    functions = [add_numbers, divide, stop, echo]


class OtherSettings(WorkerSettings):
    functions = [add_numbers]
    database = "other.db"
"""


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty folder to work in; what a command does to this process ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("SQLITE_JOB_DATABASE", raising=False)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    for database in tmp_path.rglob("*.db"):
        SQLiteJob(database=database).close()


@pytest.fixture
def tasks(folder) -> Path:
    """A module my_tasks with settings in that folder."""
    path = folder / "my_tasks.py"
    path.write_text(TASKS, encoding="utf-8")
    return path


@pytest.fixture
def run(folder):
    """Run a command in this process."""

    def run_command(*words: object) -> Ended:
        try:
            runner = CliRunner(mix_stderr=False)
        except TypeError:  # click 8.2 and later keep the two streams apart anyway
            runner = CliRunner()
        ended = runner.invoke(program, [str(word) for word in words], prog_name="sqlite-job")
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return run_command


@pytest.fixture
def start(folder):
    """Start a command as a process of its own; it is killed with the test."""
    started: List[subprocess.Popen] = []

    def start_command(*words: object, database: Optional[str] = None, **options: Any) -> subprocess.Popen:
        environment = clean_environment()
        if database is not None:
            environment["SQLITE_JOB_DATABASE"] = database
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "universal_newlines": True, **options}
        command = [str(Path(sys.executable).with_name("sqlite-job")), *map(str, words)]
        process = subprocess.Popen(command, env=environment, **streams)
        started.append(process)
        return process

    yield start_command
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def jobs(folder) -> SQLiteJob:
    """The queue of that folder."""
    return SQLiteJob(database=folder / DATABASE)


@pytest.fixture
def work(folder):
    """Run what is ready with these functions, in this process."""

    def run_ready(*functions, queues="default", **knobs) -> int:
        settings = type("TestSettings", (WorkerSettings,), {"functions": list(functions), **knobs})
        return Worker(queues, settings(folder / DATABASE)).run(burst=True)

    return run_ready


def clean_environment() -> Dict[str, str]:
    """Return an environment in which the output depends on nothing but the command."""
    unwanted = {"SQLITE_JOB_DATABASE", "PYTHONUNBUFFERED", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONPATH"}
    return {**{name: value for name, value in os.environ.items() if name not in unwanted}, "PYTHONIOENCODING": "utf-8"}
