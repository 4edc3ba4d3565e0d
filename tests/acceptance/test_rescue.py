"""What happens when workers die or freeze: real processes, real signals."""

from __future__ import annotations

import signal
import time

from sqlite_job import JobStatus
from tests.acceptance.processes import DEADLINE, wait_until

PROMISE = 2  # seconds, within which a dead worker's jobs run again


def test_a_killed_workers_job_runs_again_within_the_promise(place, jobs):
    first = place.worker()
    job = jobs.enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    second = place.worker()
    (place.folder / "started").unlink()
    first.send(signal.SIGKILL)
    killed = time.monotonic()
    wait_until((place.folder / "started").exists, "the job does not start again")
    seconds = time.monotonic() - killed
    (place.folder / "release").touch()

    assert job.result(DEADLINE) == "released"
    assert (job.info().tries, job.info().deaths) == (1, 1)
    assert seconds < PROMISE
    second.wait_for_line("Rescued 1 job of")


def test_a_worker_that_starts_rescues_the_jobs_of_the_dead_at_once(place, jobs):
    first = place.worker()
    job = jobs.enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    first.send(signal.SIGKILL)
    first.wait()
    (place.folder / "release").touch()
    assert job.status() is JobStatus.RUNNING

    assert place.worker(mode="burst").wait() == 0
    assert job.result(DEADLINE) == "released"


def test_a_worker_that_was_frozen_past_its_lease_changes_nothing_when_it_wakes(place, jobs):
    frozen = place.worker("Short")
    job = jobs.enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    frozen.send(signal.SIGSTOP)
    (place.folder / "started").unlink()
    second = place.worker("Short")
    wait_until((place.folder / "started").exists, "the job does not start again")
    (place.folder / "release").touch()
    assert job.result(DEADLINE) == "released"
    before = job.info()

    frozen.send(signal.SIGCONT)
    frozen.wait_for_line("it goes on as worker")
    frozen.wait_for_line("too late")
    assert job.info() == before
    assert jobs.enqueue("add", 1, 2).result(DEADLINE) == 3
    for worker in (frozen, second):
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0


def test_a_try_that_was_frozen_past_its_lease_says_nothing_more_of_its_progress(place, jobs):
    frozen = place.worker("Short")
    job = jobs.enqueue("tell_pid", str(place.folder / "started"), str(place.folder / "release"))
    wait_until(lambda: job.progress() is not None, "the job says nothing")
    assert job.progress().done == frozen.pid
    # Seen is committed, but the gate may still be held: frozen behind it, the worker would stop everybody.
    jobs.with_options(queue="another").enqueue("add", 1, 2)
    frozen.send(signal.SIGSTOP)
    place.worker("Short")
    # In a process of its own, as all jobs whose worker died: its pid is not that of the second worker.
    wait_until(lambda: job.progress().done != frozen.pid, "the job does not run again")
    (place.folder / "release").touch()
    job.result(DEADLINE)
    last = job.progress()
    assert last.done != frozen.pid
    assert last.message == "released"

    frozen.send(signal.SIGCONT)
    frozen.wait_for_line("too late")
    assert job.progress() == last
