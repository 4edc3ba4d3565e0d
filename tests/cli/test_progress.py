"""Progress, log records and metadata on the command line."""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime, timezone

import pytest

from sqlite_job import Backoff, JobProgress, Worker, WorkerSettings, current_job
from sqlite_job.cli.progress import describe_progress

app = logging.getLogger("app.of.cli")


def settings_of(folder, *functions, **knobs):
    return type("Settings", (WorkerSettings,), {"functions": list(functions), **knobs})(folder / "sqlite_job.db")


@pytest.mark.parametrize(
    ("done", "total", "message", "said"),
    [
        (3, 10, "importing", "3 of 10 (30 %), importing"),
        (3, None, "importing", "3, importing"),
        (1234567, 2000000, None, "1,234,567 of 2,000,000 (61 %)"),
        (0.25, 1, None, "0.25 of 1 (25 %)"),
        (199, 200, None, "199 of 200 (99 %)"),
        (12, 10, None, "12 of 10 (100 %)"),
        (0, 0, None, "0 of 0 (100 %)"),
        (1e300, None, None, "1e+300"),
    ],
)
def test_progress_in_words(done, total, message, said):
    progress = JobProgress(float(done), None if total is None else float(total), message, datetime.now(timezone.utc))
    assert describe_progress(progress) == said


def test_show_tells_how_far_a_job_has_come(run, jobs, work):
    def report():
        current_job().progress(3, 4, "red \x1b[31m")

    silent, job = jobs.with_options(delay=99).enqueue("report"), jobs.enqueue("report")
    work(report)

    assert "Progress  3 of 4 (75 %), red \\x1b[31m\n" in run("show", job).out
    shown = json.loads(run("show", job, "--json").out)["progress"]
    assert {**shown, "updated_at": None} == {"done": 3.0, "total": 4.0, "message": "red \x1b[31m", "updated_at": None}
    assert "Progress" not in run("show", silent).out
    assert json.loads(run("show", silent, "--json").out)["progress"] is None


def test_logs_shows_each_record_and_steers_no_terminal(run, jobs, work):
    def chatter():
        app.warning("careful \x1b[31m")
        app.error("two\nlines\u202e")
        if current_job().tries == 1:
            raise ValueError

    job = jobs.with_options(max_tries=2).enqueue("chatter")
    work(chatter, capture_logs=True, max_tries=2, backoff=Backoff(first=0, factor=1, max=0, jitter=0))
    code, out, err = run("logs", job)

    assert (code, err) == (0, "")
    lines = [line.split("+", 1)[-1][6:] if line[:2] == "20" else line for line in out.splitlines()]
    once = ["WARNING  app.of.cli: careful \\x1b[31m", "ERROR    app.of.cli: two", "  lines\\u202e"]
    assert lines == [*once, "Try 2", *once]


def test_logs_as_json_are_the_attributes_of_the_records(run, jobs, work):
    job = jobs.enqueue("chatter")

    def chatter():
        app.warning("careful")

    work(chatter, capture_logs=True)
    (record,) = jobs.logs(job)
    expected = {
        "at": record.at.isoformat(timespec="microseconds"),
        "try_number": 1,
        "level": 30,
        "logger": "app.of.cli",
        "message": "careful",
        "number": 1,
        "level_name": "WARNING",
    }
    assert json.loads(run("logs", job, "--json").out) == {"logs": [expected]}
    assert json.loads(run("logs", job, "--json", "--follow").out) == expected


def test_a_job_without_records_says_what_keeps_them(run, jobs):
    job = jobs.enqueue("chatter")
    assert run("logs", job) == (0, "", "No log records; they are kept of functions with capture_logs=True\n")
    assert json.loads(run("logs", job, "--json").out) == {"logs": []}


@pytest.mark.parametrize("option", [[], ["--follow"], ["--json"]])
def test_logs_of_an_unknown_job_is_not_found(run, jobs, option):
    jobs.enqueue("f")
    ended = run("logs", "unknown", *option)
    assert ended.code == 3
    assert "No job with the id 'unknown'" in ended.err


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_following_shows_each_record_when_it_is_written_and_ends_with_the_job(start, folder, jobs, option):
    go_on = threading.Semaphore(0)

    def chatter():
        for number in range(3):
            app.warning("record %d", number)
            assert go_on.acquire(timeout=60)

    job = jobs.enqueue("chatter")
    following = start("logs", job, "--follow", *option)
    with Worker("default", settings_of(folder, chatter, capture_logs=True)).running_in_background():
        for number in range(3):
            assert f"record {number}" in following.stdout.readline()
            assert jobs.get_job(job).status == "running"
            go_on.release()
        assert following.communicate(timeout=60) == ("", "")
        assert following.returncode == 0


def test_list_finds_jobs_by_their_metadata(run, jobs):
    first = jobs.with_options(meta={"customer": 42, "kind": "42"}).enqueue("f")
    second = jobs.with_options(meta={"customer": 42, "kind": "new", "urgent": True, "a=b": None}).enqueue("f")
    jobs.enqueue("f")

    def found(*words):
        return run("list", "--ids", *words).out.split()

    assert found("--meta", "customer=42") == [second, first]
    assert found("--meta", "customer=42", "--meta", "kind=new") == [second]
    assert found("--meta", 'kind="42"') == [first]
    assert found("--meta", "kind=42") == []
    assert found("--meta", "urgent=true") == [second]
    assert found("--meta", "urgent=yes") == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--meta", "customer"], "--meta takes KEY=VALUE, as customer=42, not 'customer'"),
        (["--meta", "a=1", "--meta", "a=2"], "--meta a= is given twice; a job has one value under a key"),
        (["--meta", "a=[1]"], "meta is searched for texts, finite numbers, True, False and None, not [1] under 'a'"),
    ],
)
def test_what_no_metadata_holds_is_a_wrong_use(run, jobs, words, error):
    jobs.enqueue("f")
    ended = run("list", *words)
    assert ended.code == 2
    assert error in ended.err
