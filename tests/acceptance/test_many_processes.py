"""Several workers and producers, each a process of its own."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from sqlite_job import JobStatus, call
from tests.acceptance.processes import DEADLINE, wait_until

PRODUCER = """
import sys
from sqlite_job import SQLiteJob, call
jobs = SQLiteJob("default", database="jobs.db")
for number in range(100):
    jobs.enqueue("mark", sys.argv[1], sys.argv[2])
jobs.enqueue_many([call("mark", sys.argv[1], sys.argv[2]) for _ in range(100)])
print("done")
"""


def test_four_workers_and_four_producers_run_each_job_once(place, jobs):
    workers = [place.worker() for _ in range(4)]
    record = place.folder / "record"
    producers = [place.python(PRODUCER, str(record), str(number)) for number in range(4)]
    assert [producer.wait() for producer in producers] == [0] * 4
    wait_until(lambda: jobs.counts()[JobStatus.COMPLETED] == 800, "not all jobs completed")
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0] * 4

    ran = Counter(line.split()[0] for line in record.read_text().splitlines())
    assert len(ran) == 800
    assert set(ran.values()) == {1}
    assert {job.id for job in jobs.list_jobs(limit=1000)} == set(ran)
    assert {job.tries for job in jobs.list_jobs(limit=1000)} == {1}
    assert place.integrity() == "ok"


def test_a_killed_worker_leaves_the_file_sound_and_the_acknowledged_jobs_in_it(place, jobs):
    worker = place.worker()
    handles = jobs.enqueue_many([call("add", number, number) for number in range(3000)])
    wait_until(lambda: jobs.counts()[JobStatus.COMPLETED] > 100, "the worker does not work")
    worker.send(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL

    assert place.integrity() == "ok"
    assert sum(jobs.counts().values()) == 3000
    more = jobs.enqueue("add", 1, 1)
    assert place.worker(mode="burst").wait() == 0
    assert more.result(DEADLINE) == 2
    for number, handle in enumerate(handles):
        if handle.status() is JobStatus.COMPLETED:
            assert handle.result(DEADLINE) == number * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("function", ["hold", "hold_async"])
def test_a_signal_lets_running_jobs_end_and_returns_the_others(place, jobs, function, number):
    worker = place.worker()
    release = str(place.folder / "release")
    held = [jobs.enqueue(function, str(place.folder / f"started-{n}"), release) for n in range(12)]
    wait_until(lambda: len(list(place.folder.glob("started-*"))) == 10, "ten jobs do not run at once")
    worker.send(number)
    wait_until(lambda: not _is_held(jobs, held[10:]), "unstarted jobs are held back")
    (place.folder / "release").touch()
    assert worker.wait() == 0

    assert [job.result(DEADLINE) for job in held[:10]] == ["released"] * 10
    assert [job.status() for job in held[10:]] == [JobStatus.PENDING] * 2
    assert [job.info().tries for job in held[10:]] == [0, 0]
    assert "stopped after 10 jobs" in "\n".join(worker.lines)


@pytest.mark.parametrize("function", ["hold", "hold_async"])
def test_jobs_that_outlast_the_shutdown_timeout_go_back_with_their_try(place, jobs, function):
    worker = place.worker("Impatient")
    job = jobs.enqueue(function, str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0
    assert (job.status(), job.info().tries) == (JobStatus.PENDING, 0)


def test_a_second_signal_does_not_wait(place, jobs):
    worker = place.worker()
    job = jobs.enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    worker.send(signal.SIGTERM)
    waiting = jobs.enqueue("add", 1, 1)
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0
    assert (job.status(), waiting.status()) == (JobStatus.PENDING, JobStatus.PENDING)


def test_an_idle_worker_runs_a_job_the_moment_it_is_enqueued(place, jobs):
    place.worker()
    for number in range(20):
        # Far below the safety poll of 5 seconds: each was woken.
        assert jobs.enqueue("add", number, 1).result(timeout=2) == number + 1


def test_plain_functions_and_coroutines_share_the_slots_of_a_worker(place, jobs):
    place.worker()
    release = str(place.folder / "release")
    handles = [
        jobs.enqueue(("hold", "hold_async")[number % 2], str(place.folder / f"started-{number}"), release)
        for number in range(20)
    ]
    wait_until(lambda: len(list(place.folder.glob("started-*"))) == 10, "ten jobs do not run at once")
    assert [jobs.counts()[status] for status in (JobStatus.RUNNING, JobStatus.PENDING)] == [10, 10]
    (place.folder / "release").touch()
    assert [job.result(DEADLINE) for job in handles] == ["released"] * 20


def test_a_burst_ends_by_itself_and_says_how_many_jobs_it_ran(place, jobs):
    jobs.enqueue("add", 1, 2)
    worker = place.worker(mode="burst")
    assert worker.wait() == 0
    assert "jobs 1" in worker.lines


def _is_held(jobs, handles):
    return any(job.status() is JobStatus.RUNNING for job in handles)
