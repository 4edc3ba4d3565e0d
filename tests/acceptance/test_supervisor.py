"""Several workers kept running by one command."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from sqlite_job import Inspector, JobStatus
from tests.acceptance.processes import DEADLINE, Process, wait_until

COMMAND = [sys.executable, "-m", "sqlite_job", "worker", "tasks.Settings"]


def supervise(place, *options, settings="tasks.Settings"):
    supervisor = Process([*COMMAND[:-1], settings, "--database", place.database, *options], place.folder)
    place.processes.append(supervisor)
    return supervisor


def worker_pids(place):
    return {worker.pid for worker in Inspector(place.database).workers()}


def test_each_worker_is_a_process_and_all_end_cleanly_on_sigterm(place, jobs):
    supervisor = supervise(place, "--processes", "2")
    wait_until(lambda: len(worker_pids(place)) == 2, "two workers do not start")
    assert jobs.enqueue("add", 1, 2).result(DEADLINE) == 3
    supervisor.send(signal.SIGTERM)

    assert supervisor.wait() == 0
    assert worker_pids(place) == set()


def test_a_killed_worker_is_replaced_and_its_job_runs_again_at_once(place, jobs):
    supervisor = supervise(place, "--processes", "2")
    wait_until(lambda: len(worker_pids(place)) == 2, "two workers do not start")
    job = jobs.enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    before = worker_pids(place)
    (holder,) = [worker.pid for worker in Inspector(place.database).workers() if worker.id == job.info().worker_id]
    (place.folder / "release").touch()
    os.kill(holder, signal.SIGKILL)

    assert job.result(DEADLINE) == "released"
    wait_until(lambda: len(worker_pids(place) - {holder}) == 2, "the worker is not replaced")
    assert len(worker_pids(place) - before) == 1
    supervisor.wait_for_line(f"Worker process {holder} ended: SIGKILL")


def test_workers_that_die_as_soon_as_they_start_make_it_give_up_loudly(place, jobs):
    supervisor = supervise(place, "--processes", "2", settings="tasks.Dying")

    assert supervisor.wait() == 75
    assert any("Giving up: workers ended 10 times" in line for line in supervisor.lines)


def test_a_second_signal_does_not_wait_for_running_jobs(place, jobs):
    supervisor = supervise(place, "--processes", "2")
    job = jobs.enqueue("hold", str(place.folder / "started"), str(place.folder / "release"))
    wait_until((place.folder / "started").exists, "the job does not start")
    supervisor.send(signal.SIGTERM)
    wait_until(lambda: len(worker_pids(place)) == 1, "the idle worker does not end")
    supervisor.send(signal.SIGINT)

    assert supervisor.wait() == 0
    assert job.status() is JobStatus.PENDING


def test_a_worker_is_replaced_after_so_many_jobs(place, jobs):
    supervise(place, "--processes", "2", "--max-jobs", "3")
    wait_until(lambda: len(worker_pids(place)) == 2, "two workers do not start")
    before = worker_pids(place)
    for number in range(20):
        assert jobs.enqueue("add", number, 1).result(DEADLINE) == number + 1
    wait_until(lambda: len(worker_pids(place)) == 2 and not worker_pids(place) & before, "workers are not replaced")


@pytest.mark.parametrize(("option", "bound"), [("--max-age", "3"), ("--max-rss", "200")])
def test_a_worker_is_replaced_when_it_is_old_or_fat(place, jobs, option, bound):
    supervise(place, option, bound)
    wait_until(lambda: len(worker_pids(place)) == 1, "no worker starts")
    first = worker_pids(place)
    if option == "--max-rss":
        jobs.enqueue("grow", 300).result(DEADLINE)
    wait_until(lambda: worker_pids(place) and worker_pids(place) != first, "it is not replaced")


def test_changed_files_are_loaded_anew(place, jobs):
    supervise(place, "--reload")
    assert jobs.enqueue("add", 1, 2).result(DEADLINE) == 3
    tasks = place.folder / "tasks.py"
    tasks.write_text(tasks.read_text().replace("return a + b", "return a * b * 100"))
    wait_until(lambda: jobs.enqueue("add", 1, 2).result(DEADLINE) == 200, "the change is not seen")


def test_workers_end_when_their_supervisor_is_killed(place, jobs):
    supervisor = supervise(place, "--processes", "2")
    wait_until(lambda: len(worker_pids(place)) == 2, "two workers do not start")
    pids = worker_pids(place)
    supervisor.send(signal.SIGKILL)
    supervisor.wait()
    wait_until(lambda: worker_pids(place) == set(), "the workers go on alone")
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the processes stay")


def test_a_hang_up_replaces_all_workers(place, jobs):
    supervisor = supervise(place, "--processes", "2")
    wait_until(lambda: len(worker_pids(place)) == 2, "two workers do not start")
    before = worker_pids(place)
    supervisor.send(signal.SIGHUP)
    wait_until(lambda: len(worker_pids(place)) == 2 and not worker_pids(place) & before, "workers are not replaced")


def test_a_thread_that_never_ends_is_got_rid_of_with_its_worker(place, jobs):
    supervise(place, "--processes", "2", settings="tasks.Limited")
    job = jobs.with_options(timeout=0.2).enqueue("hold_on", str(place.folder / "pid"))
    wait_until(lambda: job.status() is JobStatus.FAILED, "the job is not recorded as timed out")
    stuck = int((place.folder / "pid").read_text())
    wait_until(lambda: stuck not in worker_pids(place), "the worker with the stuck thread goes on")
    wait_until(lambda: len(worker_pids(place)) == 2, "it is not replaced")


def test_one_worker_alone_ends_after_its_jobs(place, jobs):
    for number in range(5):
        jobs.enqueue("add", number, 1)
    worker = Process([*COMMAND, "--database", place.database, "--max-jobs", "3"], place.folder)
    place.processes.append(worker)

    assert worker.wait() == 0
    assert jobs.counts()[JobStatus.COMPLETED] >= 3
    assert jobs.counts()[JobStatus.RUNNING] == 0


def test_it_works_as_process_one(place, jobs):
    """In a namespace of its own it is process 1: signals have no defaults there, and orphans are left to it."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *COMMAND]
    supervisor = Process([*command, "--database", place.database, "--processes", "2"], place.folder)
    place.processes.append(supervisor)
    wait_until(
        lambda: len(worker_pids(place)) == 2 or not supervisor.is_running(), "two workers do not start", seconds=20
    )
    if not supervisor.is_running():
        pytest.skip(f"needs a PID namespace, which only root can make: {supervisor.lines}")
    orphan = jobs.enqueue("leave_orphan")
    assert orphan.result(DEADLINE) == "left"
    os.kill(_child_of(supervisor.pid), signal.SIGTERM)
    assert supervisor.wait() == 0


def _child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return int(children.read().split()[0])
