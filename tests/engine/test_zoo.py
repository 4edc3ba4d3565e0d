"""The zoo of misbehaving jobs, in threads, on the event loop and in processes: each ends alone."""

from __future__ import annotations

import os
import time

import pytest

from sqlite_job import JobCancelledError, JobFailedError, JobStatus, SQLiteJob, Worker, call
from tests.doors.making import own_threads
from tests.engine import zoo

DEADLINE = 60


@pytest.fixture
def running(database):
    """Start a worker in the background, and return its queue."""
    stack = []

    def start(settings_class):
        settings = settings_class(database)
        worker = Worker("default", settings)
        context = worker.running_in_background()
        context.__enter__()
        jobs = SQLiteJob("default", settings)
        stack.append((context, jobs))
        return jobs

    yield start
    for context, jobs in stack:
        context.__exit__(None, None, None)
        jobs.close()


KINDS = pytest.mark.parametrize("settings", [zoo.ThreadZoo, zoo.ProcessZoo], ids=["in-process", "process"])


@KINDS
def test_each_harmless_animal_fails_alone_with_what_it_raised(running, settings):
    jobs = running(settings)
    handles = {function.__name__: jobs.enqueue(function.__name__) for function in zoo.HARMLESS}

    assert handles["fine"].result(DEADLINE) == handles["fine_async"].result(DEADLINE) == 3
    expected = {
        "raises": ("ValueError", "no"),
        "exits": ("SystemExit", "3"),
        "interrupts": ("KeyboardInterrupt", ""),
        "recurses": ("RecursionError", "maximum recursion depth"),
        "runs_out_of_memory": ("MemoryError", "RLIMIT_AS"),
        "unencodable": ("EncodeError", "the result of unencodable"),
    }
    for name, (error_type, message) in expected.items():
        with pytest.raises(JobFailedError) as met:
            handles[name].result(DEADLINE)
        assert met.value.error_type == error_type
        assert message in met.value.message
    assert jobs.enqueue("fine", 2, 3).result(DEADLINE) == 5


@KINDS
@pytest.mark.parametrize("name", ["loops", "sleeps", "sleeps_async", "swallows", "swallows_async"])
def test_a_job_that_runs_too_long_is_recorded_as_timed_out_whatever_it_does(running, settings, name):
    jobs = running(settings)
    job = jobs.with_options(timeout=0.2).enqueue(name)

    with pytest.raises(JobFailedError, match=r"longer than its timeout of 0\.2 s") as met:
        job.result(DEADLINE)
    assert met.value.error_type == "JobTimeoutError"
    assert jobs.enqueue("fine").result(DEADLINE) == 3


@KINDS
@pytest.mark.parametrize("name", ["loops", "sleeps_async", "swallows", "swallows_async"])
def test_a_running_job_can_be_cancelled_whatever_it_does(running, settings, name):
    jobs = running(settings)
    job = jobs.enqueue(name)
    _wait_until(lambda: job.status() is JobStatus.RUNNING)

    assert job.cancel("not needed any more") is True
    with pytest.raises(JobCancelledError, match="not needed any more"):
        job.result(DEADLINE)
    assert job.cancel() is False
    assert jobs.enqueue("fine").result(DEADLINE) == 3


@KINDS
@pytest.mark.parametrize("name", ["cleans_up", "cleans_up_async"])
def test_a_stopped_job_can_clean_up(running, settings, name, tmp_path):
    jobs = running(settings)
    jobs.enqueue("fine").result(DEADLINE)  # so that a process is warm
    path = tmp_path / "cleaned"
    job = jobs.with_options(timeout=1).enqueue(name, str(path))

    with pytest.raises(JobFailedError):
        job.result(DEADLINE)
    _wait_until(path.exists)


@KINDS
def test_a_job_that_holds_the_gil_ends_and_the_worker_keeps_its_lease(running, settings):
    jobs = running(settings)
    job = jobs.enqueue("holds_the_gil")
    assert job.result(DEADLINE) is None
    assert job.info().deaths == 0


@pytest.mark.parametrize(
    ("name", "how"),
    [("segfaults", "signal 11, SIGSEGV"), ("vanishes", "exit code 5"), ("kills_itself", "signal 9, SIGKILL")],
)
def test_a_job_that_kills_its_process_runs_out_of_deaths_and_takes_nobody_with_it(running, name, how):
    jobs = running(zoo.ProcessZoo)
    neighbours = jobs.enqueue_many([call("fine", number, 1) for number in range(20)])
    job = jobs.enqueue(name)
    more = jobs.enqueue_many([call("fine", number, 2) for number in range(20)])

    with pytest.raises(JobFailedError) as met:
        job.result(DEADLINE)
    assert met.value.message == f"worker died ({how})"
    assert job.info().deaths == 3
    assert [one.result(DEADLINE) for one in neighbours] == [number + 1 for number in range(20)]
    assert [one.result(DEADLINE) for one in more] == [number + 2 for number in range(20)]
    assert {one.info().deaths for one in neighbours + more} == {0}


def test_jobs_in_a_process_may_fork_and_leave_daemons(running):
    jobs = running(zoo.ProcessZoo)
    assert jobs.enqueue("forks").result(DEADLINE) == 0
    assert jobs.enqueue("leaves_a_daemon").result(DEADLINE) != os.getpid()
    assert jobs.enqueue("fine").result(DEADLINE) == 3


def test_a_job_may_close_the_stdout_of_its_process(running):
    jobs = running(zoo.ProcessZoo)
    assert jobs.enqueue("closes_stdout").result(DEADLINE) == "closed"
    assert jobs.enqueue("fine").result(DEADLINE) == 3


def test_a_job_that_runs_out_of_memory_in_earnest_fails_and_its_process_goes_on(running):
    jobs = running(zoo.ProcessZoo)
    job = jobs.enqueue("exhausts_its_memory")
    with pytest.raises(JobFailedError) as met:
        job.result(DEADLINE)
    assert met.value.error_type == "MemoryError"
    assert job.info().deaths == 0
    assert jobs.enqueue("fine").result(DEADLINE) == 3


def test_a_job_that_waits_is_cancelled_at_once(running, tmp_path):
    jobs = SQLiteJob("default", database=str(tmp_path / "jobs.db"))
    pending = jobs.enqueue("fine")
    scheduled = jobs.with_options(delay=60).enqueue("fine")

    assert (pending.cancel("why"), scheduled.cancel()) == (True, True)
    assert (pending.status(), scheduled.status()) == (JobStatus.CANCELLED, JobStatus.CANCELLED)
    assert pending.info().error == "why"
    jobs.close()


def test_a_job_that_was_claimed_ahead_is_cancelled_before_it_starts(running, tmp_path):
    jobs = running(zoo.ThreadZoo)
    jobs.enqueue_many([call("fine") for _ in range(200)])[-1].result(DEADLINE)  # short ones: the worker claims ahead
    blockers = jobs.enqueue_many([call("cleans_up", str(tmp_path / f"done-{n}")) for n in range(4)])
    ahead = jobs.enqueue("fine")
    assert ahead.cancel() is True
    with pytest.raises(JobCancelledError):
        ahead.result(DEADLINE)
    for blocker in blockers:
        blocker.cancel()
    assert jobs.enqueue("fine").result(DEADLINE) == 3


def test_a_worker_that_ends_leaves_no_thread_and_no_process_behind(database):
    settings = zoo.ProcessZoo(database)
    jobs = SQLiteJob("default", settings)
    before = own_threads()
    with Worker("default", settings).running_in_background():
        assert jobs.enqueue("fine").result(DEADLINE) == 3
        assert _children()
    assert not _children()
    _wait_until(lambda: own_threads() <= before)
    jobs.close()


def _children():
    children = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
                with open(f"/proc/{name}/cmdline") as cmdline:
                    line = cmdline.read()
            except OSError:
                continue
            if int(fields[1]) == os.getpid() and "sqlite_job.child" in line:
                children.append(int(name))
    return children


def _wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
