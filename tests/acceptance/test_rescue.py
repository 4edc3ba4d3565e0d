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
