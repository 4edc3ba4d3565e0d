"""Pausing and pruning where several processes work at once."""

from __future__ import annotations

import signal

from sqlite_job import JobStatus, call
from tests.acceptance.processes import DEADLINE, wait_until
from tests.doors.making import execute

PRODUCER = """
import sys
from sqlite_job import SQLiteJob
jobs = SQLiteJob("default", database="jobs.db")
for number in range(300):
    jobs.enqueue("mark", sys.argv[1])
print("done")
"""

TABLES = ("job", "payload", "result", "failure")


def counted(place):
    return {name: execute(place.database, f"SELECT count(*) FROM sqlitejob_{name}")[0][0] for name in TABLES}


def test_a_pause_stops_all_workers_and_a_resume_wakes_them(place, jobs):
    workers = [place.worker() for _ in range(3)]
    handles = jobs.enqueue_many([call("add", number, 1) for number in range(4000)])
    wait_until(lambda: jobs.counts()[JobStatus.COMPLETED] > 100, "the workers do not work")
    jobs.pause()
    handles.append(jobs.enqueue("add", 1, 1))
    wait_until(lambda: jobs.counts()[JobStatus.RUNNING] == 0, "claimed jobs neither end nor go back")

    # Nobody claims any more, so these counts are final, whenever they are read.
    counts = jobs.counts()
    assert counts[JobStatus.PENDING] > 0
    assert counts[JobStatus.PENDING] + counts[JobStatus.COMPLETED] == 4001
    assert {info.tries for info in jobs.list_jobs(status="pending", limit=5000)} == {0}
    assert handles[-1].status() is JobStatus.PENDING
    assert jobs.counts() == counts

    jobs.resume()
    assert handles[-1].result(DEADLINE) == 2
    wait_until(lambda: jobs.counts()[JobStatus.COMPLETED] == 4001, "not all jobs completed")
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0] * 3


def test_workers_that_prune_beside_producers_and_a_kill_leave_nothing_behind(place, jobs):
    workers = [place.worker("Forgetful") for _ in range(3)]
    record = place.folder / "record"
    producers = [place.python(PRODUCER, str(record)) for _ in range(2)]
    wait_until(lambda: record.exists() and len(record.read_text().splitlines()) > 50, "the workers do not work")
    workers[0].send(signal.SIGKILL)
    assert [producer.wait() for producer in producers] == [0, 0]
    wait_until(lambda: set(counted(place).values()) == {0}, "something is left")

    assert len({line.split()[0] for line in record.read_text().splitlines()}) == 600
    for worker in workers[1:]:
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    assert place.integrity() == "ok"
