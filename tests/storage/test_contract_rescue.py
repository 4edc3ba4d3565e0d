"""The contract of liveness: heartbeat, rescue, and what a worker that was given up can still do (nothing)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sqlite_job.core.jobs import RescuedJob
from sqlite_job.core.outcomes import FailureReport, Retried, Returned
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import LEASE, NOW, WORKERS, claim, completed, execute, failed, new_job, settle, wanted

ROOT = Path(__file__).parents[2]
LATER = NOW + LEASE + 1


def test_the_jobs_of_living_workers_are_left_alone(storage):
    storage.enqueue([new_job("a")])
    claim(storage)

    assert storage.rescue(NOW, 3) == []
    assert storage.get("a").status is JobStatus.RUNNING


def test_a_worker_whose_lease_has_run_out_loses_its_jobs(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    claim(storage, room=1, worker_id=1)
    claim(storage, room=1, worker_id=2)
    assert storage.heartbeat(2, NOW, 10 * LEASE) is True

    assert storage.rescue(LATER, 3) == [RescuedJob("a", "add", 1, 1, is_final=False)]
    info = storage.get("a")
    assert (info.status, info.tries, info.deaths, info.worker_id) == (JobStatus.PENDING, 0, 1, None)
    assert "worker 1 died" in info.error
    assert storage.get("b").status is JobStatus.RUNNING
    assert [row.id for row in storage.workers()] == [2]


def test_a_rescue_happens_once_however_many_look(storage):
    storage.enqueue([new_job("a")])
    claim(storage)

    assert len(storage.rescue(LATER, 3)) == 1
    assert storage.rescue(LATER, 3) == []
    assert storage.get("a").deaths == 1


def test_a_worker_that_was_given_up_can_change_nothing_and_claims_nothing(storage):
    storage.enqueue([new_job("a"), new_job("b")])
    (job,) = claim(storage, room=1)
    storage.rescue(LATER, 3)

    assert storage.heartbeat(1, LATER, LEASE) is False
    for outcome in (completed(job), failed(job)):
        assert settle(storage, outcome) == [outcome]
    exchange = storage.exchange(1, [], wanted(), LATER)
    assert (exchange.claimed, exchange.is_expelled) == ([], True)
    assert [storage.get(name).status for name in "ab"] == [JobStatus.PENDING] * 2


def test_a_job_that_dies_too_often_fails_and_keeps_its_history(storage):
    storage.enqueue([new_job("a")])
    for worker_id in (1, 2, 3):
        for other in WORKERS:
            storage.heartbeat(other, NOW, 10 * LEASE)
        claim(storage, worker_id=worker_id)
        storage.heartbeat(worker_id, NOW, LEASE)
        (rescued,) = storage.rescue(LATER, 3)

    assert rescued == RescuedJob("a", "add", 3, 3, is_final=True)
    info = storage.get("a")
    assert (info.status, info.deaths) == (JobStatus.FAILED, 3)
    assert [failure.error_type for failure in storage.failures("a")] == ["WorkerDied"] * 3


def test_a_requeued_job_has_its_deaths_forgiven(storage):
    storage.enqueue([new_job("a")])
    claim(storage)
    storage.rescue(LATER, 1)
    storage.requeue("a", NOW)

    assert storage.get("a").deaths == 0


def test_jobs_held_by_a_worker_that_nobody_knows_are_rescued(storage):
    storage.enqueue([new_job("a")])
    claim(storage, worker_id=4)
    storage.unregister_worker(4)

    assert [job.id for job in storage.rescue(NOW, 3)] == ["a"]


def test_a_worker_of_a_process_that_has_ended_is_dead_before_its_lease_runs_out(storage):
    program = f"""
import os
from sqlite_job.storage.opening import open_storage
from tests.storage.making import claim, LEASE, NOW
storage = open_storage({storage.location!r}, "full")
worker_id = storage.register_worker(("default",), NOW, 1000 * LEASE)
claim(storage, worker_id=worker_id)
print("claimed", flush=True)
input()
os._exit(1)
"""
    storage.enqueue([new_job("a")])
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == "claimed\n"
        assert storage.rescue(NOW, 3) == []
        process.stdin.write("\n")
    assert rescued_soon(storage) == ["a"]


def test_a_child_that_outlives_its_worker_does_not_keep_it_alive(storage):
    program = f"""
import os
from sqlite_job.storage.opening import open_storage
from tests.storage.making import claim, LEASE, NOW
storage = open_storage({storage.location!r}, "full")
worker_id = storage.register_worker(("default",), NOW, 1000 * LEASE)
claim(storage, worker_id=worker_id)
read_end, write_end = os.pipe()
if os.fork() == 0:
    os.close(write_end)
    print("forked", flush=True)
    input()
    os._exit(0)
os._exit(1)
"""
    storage.enqueue([new_job("a")])
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout.readline() == "forked\n"
        process.wait(10)
        assert rescued_soon(storage) == ["a"]
        process.stdin.write("\n")


def rescued_soon(storage):
    """Return who is rescued: with a file at the first look, as a server hears of a death a moment after the kernel."""
    deadline = time.monotonic() + 20
    rescued = storage.rescue(NOW, 3)
    while not rescued and not isinstance(storage, SqliteStorage) and time.monotonic() < deadline:
        rescued = storage.rescue(NOW, 3)
    return [job.id for job in rescued]


def rescued_jobs(storage, *names):
    """Let a worker die that held these jobs."""
    storage.enqueue([new_job(name) for name in names])
    claim(storage, worker_id=5)
    storage.unregister_worker(5)
    storage.rescue(NOW, 10)


def test_a_job_whose_worker_died_is_claimed_alone_and_on_demand(storage):
    rescued_jobs(storage, "a", "b", "c")
    storage.enqueue([new_job("innocent")])

    without = storage.exchange(1, [], wanted(takes_suspect=False), NOW)
    assert ([job.id for job in without.claimed], without.suspect) == (["innocent"], None)
    assert not storage.peek(wanted(takes_suspect=False), NOW).is_ready
    assert storage.peek(wanted(takes_suspect=True), NOW).is_ready
    exchange = storage.exchange(1, [], wanted(takes_suspect=True), NOW)
    assert (exchange.claimed, exchange.suspect.id) == ([], "a")


def test_a_job_that_ended_a_run_without_killing_its_worker_is_innocent_again(storage):
    rescued_jobs(storage, "a")
    suspect = storage.exchange(1, [], wanted(), NOW).suspect
    report = FailureReport(1, "OSError", "gone", "")
    settle(storage, Retried(NOW, NOW, suspect.seq, suspect.claim_number, report, NOW + 1))

    assert [job.id for job in storage.exchange(1, [], wanted(takes_suspect=False), NOW + 1).claimed] == ["a"]


def test_a_suspect_that_was_given_back_unstarted_is_one_still(storage):
    rescued_jobs(storage, "a")
    suspect = storage.exchange(1, [], wanted(), NOW).suspect
    settle(storage, Returned(suspect.seq, suspect.claim_number))

    assert storage.exchange(1, [], wanted(), NOW).suspect.id == "a"


def test_a_suspect_that_is_requeued_cancelled_or_deleted_leaves_nothing_behind(storage):
    rescued_jobs(storage, "a", "b", "c")
    storage.cancel("a", None, NOW)
    storage.requeue("a", NOW)
    storage.delete("b")
    storage.cancel("c", None, NOW)

    assert execute(storage, "SELECT count(*) FROM sqlitejob_suspect") == [(0,)]
    assert [job.id for job in storage.exchange(1, [], wanted(takes_suspect=False), NOW).claimed] == ["a"]
