"""Job processes of a worker on PostgreSQL."""

from __future__ import annotations

from sqlite_job import SQLiteJob, Worker
from sqlite_job.core.clock import SECOND
from sqlite_job.storage.postgres.clock import ServerClock
from tests.acceptance.processes import DEADLINE
from tests.postgres.process_tasks import InProcesses, has_driver


def test_a_job_process_needs_no_server_and_goes_by_its_clock_all_the_same(postgres_url, monkeypatch):
    """It starts in a fraction of the time, has no connection of its own, and none to lose."""
    ahead = 3600 * SECOND
    monkeypatch.setattr(ServerClock, "compare", lambda self, _connection: setattr(self, "offset", ahead))
    jobs = SQLiteJob("default", InProcesses(postgres_url))
    with Worker("default", InProcesses(postgres_url)).running_in_background():
        job = jobs.enqueue(has_driver)
        assert job.result(DEADLINE) is False
    info = job.info()
    jobs.close()

    assert info.finished_at >= info.started_at >= info.created_at
