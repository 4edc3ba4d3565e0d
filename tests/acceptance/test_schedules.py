"""Schedules in several workers, each a process of its own, that are killed and replaced."""

from __future__ import annotations

import random
import signal
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import JobStatus
from tests.acceptance.processes import wait_until

INTERVALS = {"often": timedelta(seconds=0.1), "seconds": timedelta(seconds=1), "skipping": timedelta(seconds=0.1)}


@pytest.mark.timeout(300)
def test_each_slot_has_one_job_whatever_happens_to_the_workers(place, jobs):
    workers = [place.worker("Scheduled") for _ in range(3)]
    for number in range(6):
        wait_for_more(jobs, 15)
        victim = workers.pop(random.randrange(len(workers)))
        victim.send(signal.SIGKILL if number % 4 else signal.SIGTERM)
        victim.wait()
        workers.append(place.worker("Scheduled"))
    for worker in workers:
        worker.send(signal.SIGKILL)
    for worker in workers:
        worker.wait()
    # Nobody works for a while: "all" makes up for it, "skip" does not.
    left_off = jobs.schedules.get("often").next_at
    wait_until(lambda: now() > left_off + timedelta(seconds=3), "time stands still")
    workers = [place.worker("Scheduled") for _ in range(2)]
    wait_for_more(jobs, 60)
    for name in INTERVALS:
        jobs.schedules.pause(name)
    wait_until(lambda: all_ended(jobs), "not all jobs ended")
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0, 0]

    found = jobs.list_jobs(limit=10_000)
    assert {job.status for job in found} == {JobStatus.COMPLETED}
    slots = {name: sorted(slot_of(job) for job in found if job.id.startswith(f"{name}@")) for name in INTERVALS}
    for name, interval in INTERVALS.items():
        assert len(slots[name]) == len(set(slots[name]))
        steps = {after - before for before, after in zip(slots[name], slots[name][1:])}
        assert steps == {interval} if name != "skipping" else all(step % interval == timedelta(0) for step in steps)
        stored = jobs.schedules.get(name)
        assert (stored.last_at, stored.next_at) == (slots[name][-1], slots[name][-1] + interval)
        assert stored.last_job_id == max(job.id for job in found if job.id.startswith(f"{name}@"))
    assert max(after - before for before, after in zip(slots["skipping"], slots["skipping"][1:])) > timedelta(seconds=2)
    assert min(job.created_at - slot_of(job) for job in found) >= timedelta(0)
    ran = Counter(line.split()[0] for line in (place.folder / "record").read_text().splitlines())
    assert set(ran) == {job.id for job in found}
    assert place.integrity() == "ok"


def test_a_slot_runs_once_though_every_worker_wakes_for_it(place, jobs):
    workers = [place.worker("Scheduled") for _ in range(4)]
    wait_for_more(jobs, 60)
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0] * 4

    ran = Counter(line.split()[0] for line in (place.folder / "record").read_text().splitlines())
    assert set(ran.values()) == {1}


def wait_for_more(jobs, count):
    """Wait until so many more jobs are completed."""
    goal = jobs.counts()[JobStatus.COMPLETED] + count
    wait_until(lambda: jobs.counts()[JobStatus.COMPLETED] >= goal, "no job is run")


def all_ended(jobs):
    return sum(jobs.counts().values()) == jobs.counts()[JobStatus.COMPLETED]


def slot_of(job):
    return datetime.fromisoformat(job.id.split("@")[1].replace("Z", "+00:00"))


def now():
    return datetime.now(timezone.utc)
