"""Which database settings mean: the argument, the class, the environment, the default; paths and URLs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sqlite_job import SettingsError, WorkerSettings


def add(a, b):
    return a + b


def make(**attributes):
    return type("MyWorkerSettings", (WorkerSettings,), {"functions": [add], **attributes})()


class Base(WorkerSettings):
    functions = [add]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory; what it is called once links are resolved."""
    monkeypatch.chdir(tmp_path)
    return Path(os.path.realpath(tmp_path))


def test_the_default_database_is_in_the_working_directory(folder):
    assert make().location == str(folder / "sqlite_job.db")


def test_the_environment_gives_the_default_database(folder, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_DATABASE", "from_environment.db")

    assert make().location == str(folder / "from_environment.db")


def test_an_empty_environment_variable_counts_as_none(folder, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_DATABASE", "")

    assert make().location == str(folder / "sqlite_job.db")


def test_what_the_settings_say_goes_before_the_environment_and_the_argument_before_both(folder, monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_DATABASE", "from_environment.db")

    class MyWorkerSettings(Base):
        database = "from_class.db"

    class Child(MyWorkerSettings):
        pass

    assert MyWorkerSettings().location == Child().location == str(folder / "from_class.db")
    assert MyWorkerSettings("from_argument.db").location == str(folder / "from_argument.db")


def test_a_wrong_database_in_the_environment_is_a_problem_like_any_other(monkeypatch):
    monkeypatch.setenv("SQLITE_JOB_DATABASE", ":memory:")

    with pytest.raises(SettingsError, match="database: A database in memory"):
        make()


@pytest.mark.parametrize(
    ("database", "place"),
    [
        ("jobs.db", "jobs.db"),
        (Path("below") / "jobs.db", "below/jobs.db"),
        ("sqlite:///jobs.db", "jobs.db"),
        ("sqlite:///below/jobs.db", "below/jobs.db"),
        ("sqlite+pysqlite:///jobs.db", "jobs.db"),
        ("größe und 日本.db", "größe und 日本.db"),
    ],
)
def test_a_relative_path_or_url_is_below_the_working_directory_of_now(folder, monkeypatch, database, place):
    settings = make(database=database)
    monkeypatch.chdir("/")

    assert settings.location == str(folder / place)


def test_an_absolute_path_or_url_of_four_slashes_is_what_it_says(folder):
    assert make(database=str(folder / "jobs.db")).location == str(folder / "jobs.db")
    assert make(database=f"sqlite:///{folder}/jobs.db").location == str(folder / "jobs.db")
