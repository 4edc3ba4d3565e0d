"""What a worker does when its disk is full or its database is damaged: real processes, real disks, real garbage."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from sqlite_job import DatabaseFullError, SQLiteJob
from tests.acceptance.processes import DEADLINE, TASKS, Place, wait_until
from tests.storage.disks import mounted_disk

MB = 1_000_000

MORE_TASKS = """
def hold_and_return_much(started, release):
    hold(started, release)
    return "x" * 500_000

class Single(Settings):
    functions = [add, mark, hold, hold_and_return_much]
    max_jobs = 1
"""

COMMAND_LINE = """
import sys
from sqlite_job.cli import main
sys.argv = ["sqlite-job", "worker", "tasks.Single"]
main()
"""

OVERWRITE = {
    "noise": "import os; file = open(path, 'r+b'); file.write(os.urandom(os.path.getsize(path)))",
    "text": "open(path, 'w').write('dear diary\\n' * 1000)",
    "nothing": "open(path, 'w').close()",
}


@pytest.fixture
def make_place(tmp_path):
    made = []

    def make(folder):
        made.append(Place(folder))
        (folder / "tasks.py").write_text(TASKS + MORE_TASKS)
        return made[-1]

    yield make
    for place in made:
        place.close()


@pytest.fixture
def disk(tmp_path):
    yield from mounted_disk(tmp_path / "disk", 16 * MB)


def test_a_worker_and_a_producer_outlast_a_full_disk_and_nothing_is_lost(make_place, disk, tmp_path):
    place = make_place(disk.folder)
    jobs = SQLiteJob(database=place.database)
    worker = place.worker("Single")
    big = jobs.enqueue("hold_and_return_much", str(tmp_path / "started"), str(tmp_path / "release"))
    wait_until((tmp_path / "started").exists, "the job does not start")
    producer = Producer(jobs)
    wait_until(lambda: len(producer.acknowledged) > 20, "nothing is enqueued")

    disk.leave(0)
    (tmp_path / "release").touch()
    worker.wait_for_line("No room left on the disk")
    wait_until(lambda: producer.refused, "nothing is refused")
    disk.leave(8 * MB)
    before = len(producer.acknowledged)
    wait_until(lambda: len(producer.acknowledged) > before + 20, "nothing is enqueued any more")
    producer.stop()

    assert len(big.result(DEADLINE)) == 500_000
    for job in producer.acknowledged:
        assert job.result(DEADLINE) == 3
        assert (job.info().tries, job.info().deaths) == (1, 0)
    assert sum(jobs.counts().values()) == len(producer.acknowledged) + 1
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert place.integrity() == "ok"
    jobs.close()


class Producer:
    """A thread that enqueues all the time, and remembers what was acknowledged and how often it was refused."""

    def __init__(self, jobs):
        self.acknowledged = []
        self.refused = 0
        self._jobs = jobs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce)
        self._thread.start()

    def _produce(self):
        while not self._stop.wait(0.005):
            try:
                self.acknowledged.append(self._jobs.enqueue("add", 1, 2))
            except DatabaseFullError:
                self.refused += 1

    def stop(self):
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("how", OVERWRITE)
def test_a_worker_whose_database_is_overwritten_ends_with_one_line_and_deletes_nothing(make_place, tmp_path, how):
    place = make_place(tmp_path)
    jobs = SQLiteJob(database=place.database)
    worker = place.python(COMMAND_LINE)
    worker.wait_for_line("serves default")
    jobs.enqueue("hold", str(tmp_path / "started"), str(tmp_path / "release"))
    wait_until((tmp_path / "started").exists, "the job does not start")
    for _ in range(100):
        jobs.enqueue("mark", str(tmp_path / "marks"), "x" * 3000)
    jobs.close()
    in_a_process("import sqlite3; sqlite3.connect(path).execute('PRAGMA wal_checkpoint(TRUNCATE)')", place)
    in_a_process(OVERWRITE[how], place)
    before = fingerprint(place)
    (tmp_path / "release").touch()

    assert worker.wait() == 5
    ends = [line for line in worker.lines if "CRITICAL" in line]
    assert len(ends) == 1, worker.lines
    assert "is damaged" in ends[0] or "is not a SQLite database" in ends[0]
    assert not [line for line in worker.lines if "trying again" in line]
    assert fingerprint(place) == before
    assert not (tmp_path / "marks").exists()


def in_a_process(program, place):
    """Closing the file in this process would drop the locks of its own connections."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"path = {place.database!r}; {program}"], check=False, timeout=DEADLINE
    )
    assert done.returncode == 0


def fingerprint(place):
    with open(place.database, "rb") as file:
        content = hashlib.sha256(file.read()).hexdigest()
    return content, [os.path.exists(place.database + suffix) for suffix in ("-wal", "-shm", "-gate", "-workers")]
