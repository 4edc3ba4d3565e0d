"""Fixtures for pytest: a throw-away database for each test, a queue on it, and what works it off.

Loaded at every start of pytest where this package is installed: so it imports nothing before a fixture is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

import pytest

if TYPE_CHECKING:
    from sqlite_job.connections import SQLiteJob
    from sqlite_job.settings import WorkerSettings
    from sqlite_job.testing.clocks import FakeClock
    from sqlite_job.testing.draining import Drained

_SETTINGS = "sqlite_job_settings"

_NO_SETTINGS = (
    "{fixture} runs jobs, so it needs your settings: name the class in the configuration of pytest "
    "(sqlite_job_settings = my_tasks.MyWorkerSettings), or write a fixture sqlite_job_settings that returns it"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the option in pytest's configuration."""
    parser.addini(_SETTINGS, "import path of the WorkerSettings that sqlite_job's fixtures use: my_tasks.MySettings")


@pytest.fixture
def sqlite_job_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the path of a database for this test alone; it is the default one (SQLITE_JOB_DATABASE) until its end."""
    from sqlite_job import SQLiteJob
    from sqlite_job.settings import DATABASE_VARIABLE

    path = tmp_path / "sqlite_job.db"
    monkeypatch.setenv(DATABASE_VARIABLE, str(path))
    yield path
    SQLiteJob(database=path).close()


@pytest.fixture
def sqlite_job_settings(request: pytest.FixtureRequest, sqlite_job_database: Path) -> Any:
    """Return the settings named in pytest's configuration, on the test's database, or None; override it at will.

    A fixture of yours may return a class or an instance.
    """
    name = str(request.config.getini(_SETTINGS) or "").strip()
    if not name:
        return None
    from sqlite_job.cli.failure import Failure
    from sqlite_job.cli.settings_path import load_settings

    try:
        return load_settings(name, str(sqlite_job_database))
    except Failure as failure:
        pytest.fail(f"sqlite_job_settings: {failure}", pytrace=False)


@pytest.fixture
def job_queue(sqlite_job_database: Path, sqlite_job_settings: Any) -> Iterator[SQLiteJob]:
    """Return a SQLiteJob for the queue "default", with the settings if there are any."""
    from sqlite_job import SQLiteJob

    settings = _made(sqlite_job_settings, sqlite_job_database)
    queue = SQLiteJob("default", settings) if settings is not None else SQLiteJob(database=sqlite_job_database)
    yield queue
    queue.close()


@pytest.fixture
def drain_jobs(sqlite_job_database: Path, sqlite_job_settings: Any) -> Callable[..., Drained]:
    """Return `drain` for the test's settings: call it with the other arguments of `sqlite_job.testing.drain`."""
    from sqlite_job.testing import drain

    settings = _needed(_made(sqlite_job_settings, sqlite_job_database), "drain_jobs")

    def drain_these(*queues: Any, **options: Any) -> Drained:
        __tracebackhide__ = True
        return drain(settings, *queues, **options)

    return drain_these


@pytest.fixture
def inline_jobs(sqlite_job_database: Path, sqlite_job_settings: Any) -> Iterator[SQLiteJob]:
    """Run each job as soon as it is enqueued, until the test ends; return a SQLiteJob for the queue "default"."""
    from sqlite_job.testing import inline

    with inline(_needed(_made(sqlite_job_settings, sqlite_job_database), "inline_jobs")) as jobs:
        yield jobs
    jobs.close()


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """Return a clock that stands still at the start of the test; the queues of this process go by it until its end."""
    from sqlite_job.testing import fake_time

    with fake_time() as clock:
        yield clock


def _made(settings: Any, database: Path) -> Optional[WorkerSettings]:
    if settings is None:
        return None
    from sqlite_job.settings import WorkerSettings, check_settings

    if isinstance(settings, type) and issubclass(settings, WorkerSettings):
        return settings(database)
    return check_settings(settings, "the fixture sqlite_job_settings")


def _needed(settings: Optional[WorkerSettings], fixture: str) -> WorkerSettings:
    if settings is None:
        pytest.fail(_NO_SETTINGS.format(fixture=fixture), pytrace=False)
    return settings
