"""Jobs that a dead worker had claimed and not started: they have done nothing to be suspected of."""

from __future__ import annotations

from sqlite_job.core.states import JobStatus
from tests.engine.making import HandExecutor


def test_jobs_that_never_started_do_not_fail_because_three_workers_were_killed(bench, storage):
    """A whole backlog must not fail unrun when something else kills three workers, one after the other."""
    names = [f"job-{number}" for number in range(20)]
    for _ in range(3):
        b = bench(slots=20)
        b.engine.assign(b.executor, quarantine=HandExecutor(None, b.engine.outbox.put))
        if not storage.get(names[0]):
            b.enqueue(*names)
        b.engine.turn()
        b.registration.abandon()  # as its end is seen by others
        storage.rescue(b.clock.now(), max_deaths=3)

    failed = [name for name in names if storage.get(name).status is JobStatus.FAILED]
    # Whoever was alone in quarantine each time may be guilty; nobody else can be.
    assert len(failed) <= 1
