"""Log records kept with their jobs: whose they are, how many, and what of them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading

import pytest

from sqlite_job import (
    Backoff,
    Inspector,
    JobNotFoundError,
    JobStatus,
    SQLiteJob,
    Worker,
    WorkerSettings,
    current_job,
    task,
)
from tests.doors.making import as_kind, drain, kinds, run_all, settings_of

app = logging.getLogger("app.of.tests")


def say_plainly(name):
    app.warning("%s begins", name)
    current_job().log.warning("%s ends", name)


async def say_as_coroutine(name):
    app.warning("%s begins", name)
    await asyncio.sleep(0)
    current_job().log.warning("%s ends", name)


class Settings(WorkerSettings):
    functions = [
        task(say_plainly, name="thread"),
        task(say_as_coroutine, name="coroutine"),
        task(say_plainly, name="process", executor="process"),
        task(say_as_coroutine, name="coroutine in a process", executor="process"),
    ]
    capture_logs = True


def texts(job):
    return [record.message for record in job.logs()]


def run_one(database, function, **knobs):
    """Run one job of that function, which is to complete; return the job."""
    settings = settings_of(database, task(function, name="work"), **{"capture_logs": True, **knobs})
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)
    assert info.status is JobStatus.COMPLETED, info.error
    return job


@pytest.mark.parametrize("name", [entry.name for entry in Settings.functions])
def test_what_a_job_logs_is_kept_with_it_and_with_no_other(database, name):
    settings = Settings(database)
    jobs = SQLiteJob("default", settings)
    handles = [jobs.enqueue(name, f"job {number}") for number in range(12)]
    infos = run_all(settings, *handles)

    for number, (job, info) in enumerate(zip(handles, infos)):
        found = job.logs()
        assert [(record.message, record.logger) for record in found] == [
            (f"job {number} begins", "app.of.tests"),
            (f"job {number} ends", "sqlite_job.job"),
        ]
        assert [(record.level, record.try_number, record.number) for record in found] == [(30, 1, 1), (30, 1, 2)]
        assert info.started_at <= found[0].at <= found[1].at <= info.finished_at


def test_without_the_setting_nothing_is_kept_and_no_handler_installed(database):
    handlers = []

    def work():
        handlers[:] = logging.getLogger().handlers
        app.warning("not kept")

    before = list(logging.getLogger().handlers)
    job = run_one(database, work, capture_logs=False)
    assert handlers == before
    assert job.logs() == []


@pytest.mark.parametrize("setting", [False, True])
def test_what_the_task_says_wins_over_the_settings(database, setting):
    def work():
        app.warning("said")

    settings = settings_of(
        database,
        task(work, name="as the settings"),
        task(work, name="otherwise", capture_logs=not setting),
        capture_logs=setting,
    )
    jobs = SQLiteJob("default", settings)
    handles = [jobs.enqueue("as the settings"), jobs.enqueue("otherwise")]
    run_all(settings, *handles)
    assert [texts(job) for job in handles] == ([["said"], []] if setting else [[], ["said"]])


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_capture_logs_is_true_or_false(database, value):
    with pytest.raises(ValueError, match="capture_logs is True or False, not "):
        settings_of(database, len, capture_logs=value)
    if value is not None:
        with pytest.raises(ValueError, match="capture_logs is True or False, not "):
            task(len, capture_logs=value)


def test_records_of_another_thread_are_not_the_jobs(database):
    def work():
        thread = threading.Thread(target=app.warning, args=("of another thread",))
        thread.start()
        thread.join()
        app.warning("of the job")

    assert texts(run_one(database, work)) == ["of the job"]


def test_what_the_configuration_does_not_let_through_is_not_kept(database, monkeypatch):
    monkeypatch.setattr(app, "level", logging.ERROR)
    app.manager._clear_cache()

    def work():
        app.warning("too quiet")
        app.error("loud enough")

    try:
        assert texts(run_one(database, work)) == ["loud enough"]
    finally:
        monkeypatch.undo()
        app.manager._clear_cache()


@pytest.mark.parametrize(
    ("count", "left_out"), [(1_000, None), (1_001, "1 more record was"), (1_500, "500 more records were")]
)
def test_of_one_try_the_first_records_are_kept_and_the_others_counted(database, count, left_out):
    def work():
        for number in range(count):
            app.warning("%d", number)

    found = texts(run_one(database, work))
    assert found[:1_000] == [str(number) for number in range(1_000)]
    assert found[1_000:] == ([] if left_out is None else [f"{left_out} left out: of one try the first 1,000 are kept"])


def test_each_try_has_its_own_records(database):
    def work():
        for number in range(600):
            app.warning("try %d, %d", current_job().tries, number)
        if current_job().tries < 5:
            raise ValueError

    job = run_one(database, work, max_tries=5, backoff=Backoff(first=0, factor=1, max=0, jitter=0))
    found = job.logs()
    assert len(found) == 2_000  # of the whole job
    assert [record.message for record in found[-600:]] == [f"try 5, {number}" for number in range(600)]
    assert sorted({record.try_number for record in found}) == [2, 3, 4, 5]


def test_a_traceback_belongs_to_its_record_and_is_left_to_other_handlers_to_write(database):
    written = []

    class Other(logging.Handler):
        def emit(self, record):
            if record.name == app.name:
                written.append(record.exc_text)

    def work():
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            app.exception("it went wrong")

    other = Other()
    logging.getLogger().addHandler(other)
    try:
        (text,) = texts(run_one(database, work))
    finally:
        logging.getLogger().removeHandler(other)
    assert text.startswith("it went wrong\nTraceback (most recent call last):\n")
    assert text.endswith("ZeroDivisionError: division by zero")
    assert len(written) == 1


def test_a_record_that_cannot_be_formatted_fails_no_job(database, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def work():
        app.warning("%d", "no number")
        app.warning("after")

    assert texts(run_one(database, work)) == ["after"]


@kinds
def test_the_logs_of_a_failed_job_are_kept(database, kind):
    def fail():
        app.warning("about to fail")
        raise ValueError

    settings = settings_of(database, as_kind(fail, kind), capture_logs=True)
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)
    assert info.status is JobStatus.FAILED
    assert texts(job) == ["about to fail"]


def test_a_record_whose_making_logs_is_kept_too(database):
    class Talkative:
        def __str__(self):
            app.warning("while another is made")
            return "made"

    assert set(texts(run_one(database, lambda: app.warning(Talkative())))) == {"made", "while another is made"}


def test_two_workers_of_one_process_keep_each_record_once(database, other_database):
    def work():
        app.warning("once")

    other = settings_of(other_database, task(work, name="work"), capture_logs=True)
    with Worker("default", other).running_in_background():
        assert texts(run_one(database, work)) == ["once"]
        # The first worker has ended, the second one still captures.
        job = SQLiteJob("default", other).enqueue("work")
        job.result(20)
        assert texts(job) == ["once"]
    assert not [
        handler for handler in logging.getLogger().handlers if type(handler).__module__.startswith("sqlite_job")
    ]


def test_the_doors_tell_the_same(database):
    job = run_one(database, lambda: app.warning("said"))
    jobs, inspector = SQLiteJob(database=database), Inspector(database)

    assert jobs.logs(job) == inspector.logs(job) == list(inspector.follow_logs(job)) == job.logs()
    for read in (jobs.logs, inspector.logs, lambda job_id: list(inspector.follow_logs(job_id))):
        with pytest.raises(JobNotFoundError):
            read("unknown")


def test_logs_can_be_followed_while_the_job_runs(database):
    go_on = threading.Event()

    def work():
        app.warning("first")
        assert go_on.wait(20)
        app.warning("second")

    settings = settings_of(database, task(work, name="work"), capture_logs=True)
    job = SQLiteJob("default", settings).enqueue("work")
    followed = Inspector(database).follow_logs(job)
    with Worker("default", settings).running_in_background():
        assert next(followed).message == "first"
        assert job.status() is JobStatus.RUNNING
        go_on.set()
        assert [record.message for record in followed] == ["second"]


def test_a_program_without_logging_still_shows_warnings(tmp_path):
    """Where no handler is installed, logging writes warnings to the standard error stream: ours is none to write."""
    program = """
import logging, sys
from sqlite_job import SQLiteJob, Worker, WorkerSettings
def work():
    logging.getLogger("app").warning("shown, and kept")
    logging.getLogger("app").info("not shown")
class Settings(WorkerSettings):
    functions = [work]
    capture_logs = True
settings = Settings("jobs.db")
job = SQLiteJob("default", settings).enqueue(work)
with Worker("default", settings).running_in_background():
    job.result(20)
print([record.message for record in job.logs()])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "['shown, and kept']\n"
    assert done.stderr.count("shown, and kept") == 1
    assert "not shown" not in done.stderr


def test_jobs_of_a_worker_in_burst_mode_keep_their_last_words(database):
    settings = settings_of(database, task(lambda: app.warning("the last"), name="work"), capture_logs=True)
    handles = [SQLiteJob("default", settings).enqueue("work") for _ in range(300)]
    assert drain(settings) == 300
    assert [texts(job) for job in handles] == [["the last"]] * 300
