"""One fault at a time, under load: a stranger's lock, a long reader, a frozen worker with many jobs."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time

import pytest

from sqlite_job import JobStatus, SQLiteJob, call
from tests.acceptance.processes import DEADLINE, Place, wait_until

LOCKED_SECONDS = 4  # longer than the lease of the Short settings


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


@pytest.fixture
def jobs(place):
    door = SQLiteJob("default", database=place.database)
    yield door
    door.close()


class Producer:
    """A thread that enqueues all the time, and notes how long each took."""

    def __init__(self, jobs):
        self.acknowledged = []
        self.slowest = 0.0
        self._jobs = jobs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce)
        self._thread.start()

    def _produce(self):
        while not self._stop.wait(0.002):
            began = time.monotonic()
            self.acknowledged.append(self._jobs.enqueue("add", 1, 2))
            self.slowest = max(self.slowest, time.monotonic() - began)

    def stop(self):
        self._stop.set()
        self._thread.join()


def all_done(jobs, count):
    return lambda: jobs.counts()[JobStatus.COMPLETED] == count


def test_a_strangers_write_lock_of_several_seconds_delays_and_loses_nothing(place, jobs):
    workers = [place.worker("Short") for _ in range(2)]
    producer = Producer(jobs)
    wait_until(lambda: len(producer.acknowledged) > 50, "nothing is enqueued")
    stranger = sqlite3.connect(place.database, isolation_level=None, timeout=DEADLINE)
    stranger.execute("BEGIN IMMEDIATE")
    time.sleep(LOCKED_SECONDS)
    stranger.execute("COMMIT")
    stranger.close()
    before = len(producer.acknowledged)
    wait_until(lambda: len(producer.acknowledged) > before + 50, "nothing is enqueued any more")
    producer.stop()
    wait_until(all_done(jobs, len(producer.acknowledged)), "not all jobs are done")

    assert LOCKED_SECONDS - 1 < producer.slowest < LOCKED_SECONDS + 5
    # Nobody could renew a lease meanwhile, and nobody was given up for it.
    infos = jobs.list_jobs(limit=1000)
    assert {(info.tries, info.deaths) for info in infos} == {(1, 0)}
    assert {info.id for info in infos} <= {job.id for job in producer.acknowledged}
    for worker in workers:
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        assert not [line for line in worker.lines if "it goes on as worker" in line]
    assert place.integrity() == "ok"


def test_the_journal_that_a_long_reader_kept_is_copied_back_once_it_ends(place, jobs):
    place.worker()
    jobs.enqueue("add", 1, 2).result(DEADLINE)
    reader = sqlite3.connect(f"file:{place.database}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM sqlitejob_job").fetchone() == (1,)
    text = "x" * 100_000
    jobs.enqueue_many([call("mark", os.devnull, text) for _ in range(500)])
    wait_until(all_done(jobs, 501), "a reader stops the work")
    assert os.stat(f"{place.database}-wal").st_size > 50_000_000
    assert reader.execute("SELECT count(*) FROM sqlitejob_job").fetchone() == (1,)  # as it was
    reader.execute("COMMIT")
    reader.close()
    for _ in range(10):
        jobs.enqueue_many([call("mark", os.devnull, text) for _ in range(50)])
    wait_until(all_done(jobs, 1001), "not all jobs are done")

    assert os.stat(f"{place.database}-wal").st_size <= 64 * 1024 * 1024


def test_a_worker_frozen_with_many_jobs_loses_them_all_and_changes_none_when_it_wakes(place, jobs):
    frozen = place.worker("Short")
    release = str(place.folder / "release")
    held = jobs.enqueue_many([call("hold", str(place.folder / f"started-{n}"), release) for n in range(10)])
    wait_until(lambda: len(list(place.folder.glob("started-*"))) == 10, "ten jobs do not run at once")
    frozen.send(signal.SIGSTOP)
    second = place.worker("Short")
    wait_until(lambda: all(job.info().deaths == 1 for job in held), "the frozen worker is not given up")
    (place.folder / "release").touch()
    assert [job.result(DEADLINE) for job in held] == ["released"] * 10
    before = [job.info() for job in held]

    frozen.send(signal.SIGCONT)
    frozen.wait_for_line("it goes on as worker")
    more = jobs.enqueue_many([call("add", number, 1) for number in range(100)])
    assert [job.result(DEADLINE) for job in more] == [number + 1 for number in range(100)]
    for worker in (frozen, second):
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    assert [job.info() for job in held] == before
    assert {job.info().deaths for job in more} == {0}


def test_a_worker_alone_that_was_frozen_runs_its_jobs_again_beside_their_earlier_runs(place, jobs):
    """It wakes up, is told that it was given up, and claims the very jobs that still run in it."""
    frozen = place.worker("Short")
    release = place.folder / "release"
    held = jobs.enqueue_many([call("hold", str(place.folder / f"started-{n}"), str(release)) for n in range(5)])
    wait_until(lambda: len(list(place.folder.glob("started-*"))) == 5, "five jobs do not run at once")
    frozen.send(signal.SIGSTOP)
    rescuer = place.python(RESCUE)
    rescuer.wait_for_line("rescued 5")
    frozen.send(signal.SIGCONT)
    frozen.wait_for_line("it goes on as worker")
    wait_until(lambda: any(job.info().tries and job.status() is JobStatus.RUNNING for job in held), "none is claimed")
    release.touch()

    assert [job.result(DEADLINE) for job in held] == ["released"] * 5
    assert jobs.enqueue("add", 1, 2).result(DEADLINE) == 3
    frozen.send(signal.SIGTERM)
    assert frozen.wait() == 0


# What the rescuer of another worker does, from a process that takes no jobs itself.
RESCUE = """
import time
from sqlite_job.core.clock import SystemClock
from sqlite_job.storage.opening import locate, open_storage
storage = open_storage(locate("jobs.db"), "full")
rescued = []
while len(rescued) < 5:
    rescued += storage.rescue(SystemClock().now(), 5)
    time.sleep(0.05)
print("rescued", len(rescued), flush=True)
"""
