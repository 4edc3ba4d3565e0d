from __future__ import annotations

import json

import pytest

from sqlite_job import Cancel, Worker, WorkerSettings
from tests.cli.conftest import DATABASE


def add(a, b):
    return a + b


def divide(a, b):
    return a / b


def stop(reason):
    raise Cancel(reason)


def give(value):
    return value


class Evil:
    """A result that runs code where it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled!",))


def give_evil():
    return Evil()


class Settings(WorkerSettings):
    functions = [add]
    database = DATABASE


@pytest.fixture
def done(jobs, work):
    """Run one call to its end, and return its id."""

    def run_call(function, *args, **knobs) -> str:
        job = jobs.enqueue(function, *args)
        work(function, **knobs)
        return job

    return run_call


@pytest.mark.parametrize("command", ["result", "wait"])
def test_the_result_of_a_completed_job_is_printed(run, done, command):
    ended = run(command, done(add, 10, 20))
    assert ended == (0, "30\n", "")


@pytest.mark.parametrize("command", ["result", "wait"])
def test_a_failed_job_is_an_error_that_names_the_exception(run, done, command):
    job = done(divide, 1, 0)
    assert run(command, job) == (
        1,
        "",
        f"Error: Job {job} failed: ZeroDivisionError: division by zero; its traceback: sqlite-job show {job}\n",
    )


@pytest.mark.parametrize(("reason", "shown"), [("no need", ": no need"), ("", "")])
def test_a_cancelled_job_is_an_error_that_has_the_reason(run, done, reason, shown):
    job = done(stop, reason)
    assert run("result", job) == (1, "", f"Error: Job {job} was cancelled{shown}\n")


def test_a_job_that_has_not_finished_has_no_result(run, jobs):
    job = jobs.enqueue("add", 1, 2)
    assert run("result", job) == (
        4,
        "",
        f"Error: Job {job} has not finished, it is pending; wait for it: sqlite-job wait {job}\n",
    )


def test_waiting_ends_with_the_time_given(run, jobs):
    job = jobs.enqueue("add", 1, 2)
    ended = run("wait", job, "--timeout", "10ms")
    assert (ended.code, ended.out) == (4, "")
    assert "did not finish within 0.01 s; it goes on" in ended.err


def test_waiting_says_when_nobody_serves_the_queue(run, jobs):
    job = jobs.with_options(queue="low").enqueue("f")
    with Worker("default", Settings()).running_in_background():
        assert "No worker serves the queue 'low'; start one: " in run("wait", job, "--timeout", "0").err
    with Worker(["default", "low"], Settings()).running_in_background():
        assert "No worker" not in run("wait", job, "--timeout", "0").err


def test_waiting_ends_with_the_job(start, jobs, tasks):
    job = jobs.enqueue("add_numbers", 10, 20)
    waiting = start("wait", job, "--timeout", "60")
    assert "No worker serves" in waiting.stderr.readline()
    start("worker", "my_tasks.MyWorkerSettings", "--burst").communicate(timeout=60)
    assert waiting.communicate(timeout=60)[0] == "30\n"
    assert waiting.returncode == 0


@pytest.mark.parametrize("command", ["result", "wait", "show"])
def test_an_unknown_job_is_not_found(run, jobs, command):
    jobs.enqueue("f")
    assert run(command, "nope") == (
        3,
        "",
        "Error: No job with the id 'nope'; it never existed here, or was deleted since\n",
    )


@pytest.mark.parametrize(
    ("value", "is_shortened"),
    [
        (30, False),
        ("Loading...", False),
        ("x" * 100, True),
        (list(range(100)), True),
        ([["y" * 50] * 5] * 5, True),
        ([], False),
        (None, False),
    ],
)
def test_a_preview_that_leaves_something_out_says_so(run, done, value, is_shortened):
    job = done(give, value)
    ended = run("result", job)
    assert ended.code == 0
    assert ("shortened" in ended.err) is is_shortened
    assert json.loads(run("result", job, "--json").out)["is_result_shortened"] is is_shortened


def test_without_a_preview_nothing_is_printed_but_a_note(run, done):
    ended = run("result", done(add, 10, 20, preview=False))
    assert (ended.code, ended.out) == (0, "")
    assert "no preview of the result is stored" in ended.err


def test_nothing_is_ever_unpickled(run, done):
    job = done(give_evil)
    for words in (("result", job), ("wait", job), ("show", job), ("list",), ("status",), ("list", "--json")):
        ended = run(*words)
        assert ended.out
        assert "unpickled!" not in ended.out + ended.err


def test_as_json_the_facts_are_printed_whatever_the_end(run, done, jobs):
    failed, waits = done(divide, 1, 0), jobs.enqueue("later")
    assert json.loads(run("wait", failed, "--json").out)["error"] == "ZeroDivisionError: division by zero"
    ended = run("result", waits, "--json")
    assert (ended.code, json.loads(ended.out)["status"]) == (4, "pending")
