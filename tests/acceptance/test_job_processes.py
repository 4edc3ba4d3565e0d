"""Job processes seen from outside: how they are replaced, and what becomes of them when their worker dies."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from sqlite_job import JobStatus, SQLiteJob, Worker, WorkerSettings, task
from tests.acceptance.processes import DEADLINE, Process, wait_until


def pid():
    return os.getpid()


def grow(megabytes):
    grown.append(bytearray(megabytes * 1_000_000))
    return os.getpid()


grown = []


class Recycled(WorkerSettings):
    functions = [pid]
    executor = "process"
    max_jobs = 1
    max_jobs_per_child = 3


class Lean(WorkerSettings):
    functions = [grow]
    executor = "process"
    max_jobs = 1
    max_rss_mb = 150


class Warm(WorkerSettings):
    functions = [task(pid, executor="process")]
    max_jobs = 1


def results(settings, name, count, *arguments):
    jobs = SQLiteJob("default", settings)
    handles = [jobs.enqueue(name, *arguments) for _ in range(count)]
    Worker("default", settings).run(burst=True)
    found = [job.result(DEADLINE) for job in handles]
    jobs.close()
    return found


def test_a_process_is_warm_and_serves_one_job_after_the_other(database):
    assert len(set(results(Warm(database), "pid", 10))) == 1


def test_a_process_is_replaced_after_so_many_jobs(database):
    pids = results(Recycled(database), "pid", 7)
    assert [pids.index(one) for one in pids] == [0, 0, 0, 3, 3, 3, 6]


def test_a_process_that_takes_too_much_memory_is_replaced(database):
    pids = results(Lean(database), "grow", 33, 10)
    assert [pids.index(one) for one in pids] == [0] * 16 + [16] * 16 + [32]


def test_settings_of_a_script_without_a_guard_work_in_job_processes(place, jobs):
    """As the seed's worker.py: everything at the top, and nothing behind `if __name__ == "__main__"`."""
    (place.folder / "worker.py").write_text(
        "import os\n"
        "from sqlite_job import SQLiteJob, Worker, WorkerSettings\n"
        "def where():\n"
        "    return os.getpid()\n"
        "class Mine(WorkerSettings):\n"
        "    functions = [where]\n"
        "    executor = 'process'\n"
        "    max_jobs = 2\n"
        f"settings = Mine({place.database!r})\n"
        "jobs = SQLiteJob('default', settings)\n"
        "handles = [jobs.enqueue(where) for _ in range(4)]\n"
        "print('ran', Worker('default', settings).run(burst=True))\n"
        "print('elsewhere', os.getpid() not in [job.result(5) for job in handles])\n"
    )
    script = Process([sys.executable, "worker.py"], place.folder)
    place.processes.append(script)

    assert script.wait() == 0
    assert script.lines[-2:] == ["ran 4", "elsewhere True"]
    assert jobs.counts()[JobStatus.COMPLETED] == 4


def test_a_job_process_ends_with_its_killed_worker_even_inside_a_job(place, jobs):
    worker = place.worker("InProcesses")
    jobs.enqueue("hold_on", str(place.folder / "pid"))
    path = place.folder / "pid"
    wait_until(lambda: path.exists() and path.read_text(), "the job does not start")
    child = int(path.read_text())
    worker.send(signal.SIGKILL)
    worker.wait()

    wait_until(lambda: not os.path.exists(f"/proc/{child}"), "the job process goes on alone")


def test_the_worker_goes_on_when_a_job_process_is_killed_from_outside(place, jobs):
    place.worker("InProcesses")
    started = place.folder / "started"
    job = jobs.enqueue("hold", str(started), str(place.folder / "release"))
    pid_of = jobs.enqueue("pid_of_process").result(DEADLINE)
    wait_until(started.exists, "the job does not start")
    os.kill(pid_of, signal.SIGKILL)
    assert jobs.enqueue("add", 1, 2).result(DEADLINE) == 3
    (place.folder / "release").touch()
    assert job.result(DEADLINE) == "released"


def test_a_job_is_not_blamed_for_a_process_that_ended_before_it_came(database):
    settings = Warm(database)
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        first = jobs.enqueue(pid).result(DEADLINE)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: state_of(first) == "Z", "it does not end")
        second = jobs.enqueue(pid)
        assert second.result(DEADLINE) != first
        assert second.info().deaths == 0
    jobs.close()


def state_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_settings_that_no_process_can_import_are_refused_with_the_mend(database):
    class Local(WorkerSettings):
        functions = [pid]
        executor = "process"

    with pytest.raises(ValueError, match="defined inside a function, where no job process can import it"):
        Worker("default", Local(database)).run(burst=True)
