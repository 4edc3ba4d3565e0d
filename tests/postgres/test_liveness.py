"""Who is believed dead, and what is heard, when processes are killed and connections are cut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from sqlite_job.core.clock import SystemClock
from sqlite_job.core.jobs import Conditions
from tests.postgres.interleaving import DEADLINE, wait_until
from tests.storage.making import NOW, claim, completed, new_job, settle

ROOT = Path(__file__).parents[2]

# A dead worker is seen by a look each second; a machine that is busy with other tests needs longer for one.
SOON = 5.0

WORKER = """
import os, sys, time
from sqlite_job.storage.opening import open_storage
from tests.storage.making import LEASE, NOW, claim
storage = open_storage(sys.argv[1] + "?application_name=worker", "full")
worker_id = storage.register_worker(("default",), NOW, LEASE)
(job,) = claim(storage, worker_id=worker_id)
child = os.fork() if sys.argv[2] == "with a child" else -1
if child == 0:
    time.sleep(600)
print(child, flush=True)
time.sleep(600)
"""

# The sessions that hold locks of workers.
LISTENERS = """
SELECT pid FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND application_name = %s AND datname = current_database()
"""


@pytest.fixture
def worker_process(postgres_url):
    """Start a process with a worker that holds a job; returns it, and its child."""
    started = []

    def start(kind="alone"):
        command = [sys.executable, "-c", WORKER, postgres_url, kind]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        child = int(process.stdout.readline())
        return process, child

    yield start
    for process in started:
        process.kill()
        process.communicate()


def listener_of(stage, name):
    return {pid for (pid,) in stage.connection.execute(LISTENERS, [name])}


def rescued_within(storage, seconds):
    began = time.monotonic()
    wait_until(lambda: [job.id for job in storage.rescue(NOW, 3)] == ["a"], "the job is rescued")
    return time.monotonic() - began < seconds


def test_of_many_workers_only_some_look_for_the_dead_each_time(first, second):
    first.enqueue([new_job("a")])
    claim(first, worker_id=1)
    first.abandon_worker(1)
    second._fleet, second._draw = 100, lambda: 0.21  # twenty looks a second together
    assert second.rescue(NOW, 3) == []
    second._draw = lambda: 0.19
    assert [job.id for job in second.rescue(NOW, 3)] == ["a"]


def test_a_worker_whose_process_was_killed_is_seen_at_once(stage, first, worker_process):
    first.enqueue([new_job("a")])
    process, _ = worker_process()
    assert first.rescue(NOW, 3) == []
    process.send_signal(signal.SIGKILL)
    assert rescued_within(first, SOON)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_outlives_its_worker_does_not_keep_it_alive(stage, first, worker_process):
    first.enqueue([new_job("a")])
    process, child = worker_process("with a child")
    assert first.rescue(NOW, 3) == []
    process.send_signal(signal.SIGKILL)
    try:
        assert rescued_within(first, SOON)
        os.kill(child, 0)  # it lives
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_worker_whose_listener_was_cut_off_is_not_believed_dead(stage, first, second):
    first.enqueue([new_job("a")])
    (a,) = claim(first)
    (old,) = listener_of(stage, "first")
    stage.connection.execute("SELECT pg_terminate_backend(%s)", [old])
    assert second.rescue(NOW, 3) == []
    wait_until(lambda: listener_of(stage, "first") - {old}, "the lock is held by a new session")
    assert second.rescue(NOW, 3) == []
    assert settle(first, completed(a)) == []


def test_what_was_committed_while_a_listener_was_cut_off_is_made_up_for(stage, first, second):
    watcher, heard = first.watch(), threading.Event()
    unsubscribe = first.subscribe(heard.set)
    quieten(watcher)
    heard.clear()
    # Cut off before it can read of the job, if it has not yet: either way the word comes.
    with stage.begun_until_its_commit(second, second.enqueue, [new_job("a")]):
        (old,) = listener_of(stage, "first")
        stage.connection.execute("SELECT pg_terminate_backend(%s)", [old])
        wait_until(lambda: old not in listener_of(stage, "first"), "the old session is gone")
    assert watcher.wait(DEADLINE)
    assert heard.wait(DEADLINE)
    watcher.close()
    unsubscribe()


def quieten(watcher):
    """Take what a watcher hears of its own beginning."""
    while watcher.wait(0.2):
        pass


def test_a_watcher_hears_of_a_job_when_it_is_committed_and_not_before(stage, first, second):
    watcher = first.watch()
    quieten(watcher)
    with stage.begun_until_its_commit(second, second.enqueue, [new_job("a")]):
        assert not watcher.wait(0.3)
    assert watcher.wait(DEADLINE)
    watcher.close()


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_watcher_hears_of_a_job_in_a_users_transaction_at_its_commit_only(stage, first, second, ending):
    watcher = first.watch()
    quieten(watcher)
    with psycopg.connect(stage.conninfo) as theirs:
        second.enqueue_within(theirs, [new_job()])
        assert not watcher.wait(0.3)
        getattr(theirs, ending)()
    assert watcher.wait(DEADLINE if ending == "commit" else 0.3) is (ending == "commit")
    watcher.close()


def grouped(job_id):
    return new_job(job_id, conditions=Conditions(group_key="g", group_limit=1))


def rated(job_id, **changes):
    return new_job(job_id, conditions=Conditions(rate_key="r", rate_starts=1, rate_per=1_000_000), **changes)


def test_an_idle_worker_hears_of_the_next_of_a_group(stage, first, second):
    first.enqueue([grouped("a"), grouped("b")])
    (a,) = claim(first)
    watcher = second.watch()
    quieten(watcher)
    settle(first, completed(a))
    assert watcher.wait(DEADLINE)
    watcher.close()


def test_an_idle_worker_hears_that_a_rate_lets_the_next_job_start_later(stage, first, second):
    first.enqueue([rated("a"), rated("b")])
    watcher = second.watch()
    quieten(watcher)
    assert [job.id for job in claim(first)] == ["a"]
    assert watcher.wait(DEADLINE)  # it looks when that will be: the other one may have no room by then
    watcher.close()


def test_who_only_settles_wakes_no_idle_worker(stage, first, second):
    first.enqueue([new_job("a")])
    (a,) = claim(first)
    watcher = second.watch()
    quieten(watcher)
    settle(first, completed(a))
    assert not watcher.wait(0.3)
    watcher.close()


# ---- the server's time


class Shifted(SystemClock):
    """The clock of a machine that is so many microseconds ahead."""

    def __init__(self, ahead):
        self._ahead = ahead

    def now(self):
        return super().now() + self._ahead


def test_a_job_scheduled_by_a_machine_whose_clock_differs_starts_at_the_servers_time(stage, first, second):
    """Both ask for the time as a program and a worker do: by their own clocks, shifted by what they have measured."""
    hour = 3_600_000_000

    def clock_of(storage, ahead):
        storage._clock._system = Shifted(ahead)
        storage._clock._asked_at = None
        wait_until(lambda: abs(storage.clock_offset + ahead) < 5_000_000, "the difference is measured")
        return storage._clock.now

    early, late = clock_of(first, -hour), clock_of(second, hour)
    first.enqueue([new_job("a", created_at=early(), run_at=early() + 60_000_000)])
    assert claim(second, worker_id=2, now=late()) == []
    assert [job.id for job in claim(second, worker_id=2, now=late() + 61_000_000)] == ["a"]
