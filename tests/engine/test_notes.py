"""What a running job says of itself, on its way through the engine."""

from __future__ import annotations

import pytest

from sqlite_job.core.context import current_job
from sqlite_job.core.events import StorageFailed
from sqlite_job.core.outcomes import Returned
from sqlite_job.engine.housekeeping import Housekeeping
from sqlite_job.engine.housekeeping.notekeeper import Notekeeper
from tests.storage.making import settle


def report(a, b):
    current_job().progress(a, b, "working")


def commits(storage):
    """Return what changes with each commit."""
    return storage._read(lambda t: t._cursor.execute("PRAGMA data_version").fetchall())


def test_the_last_progress_is_settled_in_the_same_commit_as_its_job(bench):
    b = bench({"add": report}, slots=1)
    b.enqueue("a")
    b.engine.turn()
    b.executor.run_next()

    assert b.storage.progress("a") is None
    b.engine.turn()
    assert b.status("a") == "completed"
    assert (b.storage.progress("a").done, b.storage.progress("a").message) == (1.0, "working")
    assert b.engine.notebook.is_empty


def test_an_exchange_that_fails_keeps_the_last_progress_for_the_next_one(bench):
    b = bench({"add": report}, slots=1)
    b.enqueue("a")
    b.engine.turn()
    b.executor.run_next()
    b.storage._write(lambda t: t._cursor.execute("ALTER TABLE sqlitejob_result RENAME TO elsewhere"))
    with pytest.raises(Exception, match="sqlitejob_result"):
        b.engine.turn()
    b.storage._write(lambda t: t._cursor.execute("ALTER TABLE elsewhere RENAME TO sqlitejob_result"))

    b.engine.turn()
    assert (b.status("a"), b.storage.progress("a").done) == ("completed", 1.0)


def test_the_notekeeper_writes_what_there_is_and_is_not_needed_after(bench):
    b = bench()
    b.enqueue("a")
    b.engine.turn()
    (job,) = b.executor.waiting
    keeper = Notekeeper(b.storage, b.engine.notebook)
    assert not keeper.is_needed()

    for done in range(1_000):
        b.engine.notebook.put_progress(job, float(done), None, None)
    assert keeper.is_needed()
    keeper.tick()

    assert b.storage.progress("a").done == 999.0
    assert not keeper.is_needed()


def test_notes_that_could_not_be_written_are_kept(bench):
    b = bench()
    b.enqueue("a")
    b.engine.turn()
    (job,) = b.executor.waiting
    keeper = Notekeeper(b.storage, b.engine.notebook)
    b.engine.notebook.put_progress(job, 1.0, None, None)
    b.storage._write(lambda t: t._cursor.execute("ALTER TABLE sqlitejob_progress RENAME TO elsewhere"))
    with pytest.raises(Exception, match="sqlitejob_progress"):
        keeper.tick()
    b.storage._write(lambda t: t._cursor.execute("ALTER TABLE elsewhere RENAME TO sqlitejob_progress"))

    assert keeper.is_needed()
    keeper.tick()
    assert b.storage.progress("a").done == 1.0


@pytest.mark.files("it counts the commits of a file")
def test_a_service_that_is_not_needed_is_never_due(bench):
    b = bench()
    b.enqueue("a")
    b.engine.turn()
    (job,) = b.executor.waiting
    house = Housekeeping([Notekeeper(b.storage, b.engine.notebook)])

    assert house.seconds_until_due() == float("inf")
    before = commits(b.storage)
    house.tick()
    assert commits(b.storage) == before

    b.engine.notebook.put_progress(job, 1.0, None, None)
    assert house.seconds_until_due() == 0
    house.tick()
    assert b.storage.progress("a").done == 1.0
    assert house.seconds_until_due() == float("inf")

    b.engine.notebook.put_progress(job, 2.0, None, None)
    assert 0.3 < house.seconds_until_due() <= 0.5, "the second value waits for its turn"
    house.tick()
    assert b.storage.progress("a").done == 1.0


def test_a_try_whose_job_was_given_to_another_writes_nothing(bench):
    """The first try is still going on here, where the job is running again by another claim."""
    b = bench({"add": report}, slots=2)
    b.enqueue("a")
    b.engine.turn()
    old = b.executor.waiting[0]
    settle(b.storage, Returned(old.seq, old.claim_number))  # as a rescuer would
    b.engine.turn()
    new = b.executor.waiting[1]
    assert (new.seq, new.claim_number) == (old.seq, old.claim_number + 1)
    keeper = Notekeeper(b.storage, b.engine.notebook)

    b.engine.notebook.put_progress(new, 7.0, None, None)
    b.engine.notebook.put_progress(old, 3.0, None, None)
    keeper.tick()
    assert b.storage.progress("a").done == 7.0
    b.executor.run_next()  # the old one ends, too late
    b.engine.turn()
    assert b.storage.progress("a").done == 7.0
    assert b.of_kind(StorageFailed) == []
