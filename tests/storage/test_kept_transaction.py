"""open_transaction: a job's own rows and its completion, in one commit behind the fence."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading

import pytest
from sqlalchemy import text

from sqlite_job.core.errors import DatabaseBusyError, DatabaseReplacedError, TransactionStateError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.states import JobStatus
from sqlite_job.core.stopping import Stop, StopCause
from sqlite_job.core.transactions import JobTransaction
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle

WRITE = text("INSERT INTO effects VALUES (1)")


@pytest.fixture
def storage(path):
    """A file: a server's transactions have nobody to keep (tests/postgres/)."""
    made = SqliteStorage(path, "full")
    made.register_worker(("default",), NOW, LEASE)
    yield made
    made.unregister_worker(1)
    made.close()


@pytest.fixture
def running(storage):
    """A job that runs, in a database with a table of the user's."""
    storage._write(lambda transaction: transaction._cursor.execute("CREATE TABLE effects (n)"))
    storage.enqueue([new_job("one")])
    (job,) = claim(storage)
    return job


@pytest.fixture
def begin(storage):
    """Open transactions, and close them at the end."""
    made = []

    def make(stop=None):
        made.append(storage.open_transaction(stop or Stop()))
        return made[-1]

    yield make
    for one in made:
        one.close()


def effects(storage):
    return storage._read(lambda transaction: transaction._cursor.execute("SELECT count(*) FROM effects").fetchone()[0])


def status(storage):
    return storage.get("one").status


def test_the_rows_and_the_completion_are_one_commit(storage, running, begin):
    opened = begin()
    opened.enter().execute(WRITE)
    assert effects(storage) == 0

    assert opened.complete(completed(running))

    assert (effects(storage), status(storage)) == (1, JobStatus.COMPLETED)
    assert storage.result("one").value == b"3"


def test_nothing_is_written_when_the_fence_is_closed(storage, running, begin):
    opened = begin()
    opened.enter().execute(WRITE)

    assert not opened.complete(completed(running, claim_number=running.claim_number + 1))

    assert (effects(storage), status(storage)) == (0, JobStatus.RUNNING)
    assert settle(storage, completed(running)) == []


def test_what_the_session_holds_back_is_written_by_the_completion(storage, running, begin):
    opened = begin()
    session = opened.enter()
    session.execute(WRITE)
    session.commit()
    session.execute(WRITE)
    session.rollback()
    session.execute(WRITE)

    assert opened.complete(completed(running))
    assert effects(storage) == 2


def test_rolled_back_it_gives_the_turn_to_the_next_at_once_and_takes_no_more_writes(storage, running, begin):
    opened = begin()
    session = opened.enter()
    session.execute(WRITE)
    opened.roll_back()
    storage.enqueue([new_job("two")])

    with pytest.raises(Exception, match=r"readonly|no such savepoint"):
        session.execute(WRITE)
    with pytest.raises(TransactionStateError):
        opened.complete(completed(running))
    assert effects(storage) == 0


def test_closed_without_a_word_it_is_rolled_back(storage, running, begin):
    opened = begin()
    opened.enter().execute(WRITE)
    opened.close()
    opened.close()
    storage.enqueue([new_job("two")])

    assert effects(storage) == 0


@pytest.mark.parametrize("cause", list(StopCause))
def test_a_stop_rolls_back_though_the_job_does_nothing(storage, running, begin, cause):
    stop = Stop()
    opened = begin(stop)
    opened.enter().execute(WRITE)
    stop.set(cause)
    # From another thread: in this one the job is, as far as anybody knows.
    enqueueing = threading.Thread(target=storage.enqueue, args=([new_job("two")],))
    enqueueing.start()
    enqueueing.join(10)

    assert storage.get("two") is not None
    with pytest.raises(TransactionStateError, match="told to stop"):
        opened.complete(completed(running))
    assert (effects(storage), status(storage)) == (0, JobStatus.RUNNING)


def test_a_stop_ends_a_statement_that_goes_on_for_ever(storage, running, begin):
    stop = Stop()
    opened = begin(stop)
    session = opened.enter()
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")
    threading.Timer(0.2, stop.set, (StopCause.TIMEOUT,)).start()

    with pytest.raises(Exception, match="interrupted"):
        session.execute(endless).fetchall()
    opened.close()
    storage.enqueue([new_job("two")])


def test_a_stop_before_the_beginning_leaves_nothing_open(storage, running, begin):
    stop = Stop()
    stop.set(StopCause.CANCEL)
    opened = begin(stop)
    with pytest.raises(TransactionStateError):
        opened.complete(completed(running))
    storage.enqueue([new_job("two")])


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_a_transaction_that_the_user_has_ended_is_no_completion(storage, running, begin, ending):
    opened = begin()
    session = opened.enter()
    session.execute(WRITE)
    session.connection().exec_driver_sql(ending)
    session.connection().exec_driver_sql("INSERT INTO effects VALUES (2)")

    with pytest.raises(Exception, match=r"was ended before the job|no such savepoint"):
        opened.complete(completed(running))
    opened.close()

    assert effects(storage) == (1 if ending == "COMMIT" else 0)
    assert status(storage) is JobStatus.RUNNING


def test_an_error_of_the_commit_leaves_nothing(storage, running, begin):
    opened = begin()
    session = opened.enter()
    session.execute(text("CREATE TABLE child (n REFERENCES effects (n) DEFERRABLE INITIALLY DEFERRED)"))
    session.execute(text("CREATE UNIQUE INDEX unique_n ON effects (n)"))
    session.execute(text("INSERT INTO child VALUES (5)"))

    with pytest.raises(Exception, match="FOREIGN KEY constraint failed"):
        opened.complete(completed(running))

    assert (effects(storage), status(storage)) == (0, JobStatus.RUNNING)
    assert settle(storage, completed(running)) == []


def test_its_own_thread_is_told_instead_of_waiting_for_itself(storage, running, begin, path):
    other = SqliteStorage(path, "normal")
    opened = begin()
    opened.enter()
    for call in (
        lambda: storage.enqueue([new_job("two")]),
        lambda: other.enqueue([new_job("two")]),
        lambda: storage.cancel("one", None, NOW),
        lambda: storage.open_transaction(Stop()),
        storage.close,
    ):
        with pytest.raises(DatabaseBusyError, match="would wait for its end for ever"):
            call()
    assert storage.get("one") is not None
    opened.complete(completed(running))
    other.enqueue([new_job("two")])
    other.close()


def test_others_wait_for_its_end(storage, running, begin):
    opened = begin()
    opened.enter().execute(WRITE)
    enqueueing = threading.Thread(target=storage.enqueue, args=([new_job("two")],))
    enqueueing.start()
    enqueueing.join(0.1)
    assert enqueueing.is_alive()

    opened.complete(completed(running))
    enqueueing.join(10)
    assert storage.get("two") is not None


def test_one_waits_for_the_other(storage, running, begin):
    ended = []
    opened = begin()
    opened.enter()

    def run():
        second = storage.open_transaction(Stop())
        ended.append("second")
        second.close()

    waiting = threading.Thread(target=run)
    waiting.start()
    waiting.join(0.1)
    ended.append("first")
    opened.complete(completed(running))
    waiting.join(10)

    assert ended == ["first", "second"]


def test_a_coroutine_that_is_cancelled_while_it_waits_for_its_turn_leaves_nothing_open(storage, running, begin):
    async def wait_in_vain(stop, cancelled):
        entering = asyncio.ensure_future(JobTransaction(storage.open_transaction, stop).__aenter__())
        await asyncio.sleep(0)
        stop.set(StopCause.CANCEL)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        cancelled.set()

    opened = begin()
    opened.enter()
    cancelled = threading.Event()
    # Its loop is in another thread, and waits at its end for the one that waits for the turn.
    waiting = threading.Thread(target=lambda: asyncio.run(wait_in_vain(Stop(), cancelled)))
    waiting.start()
    assert cancelled.wait(10)
    opened.complete(completed(running))
    waiting.join(10)
    storage.enqueue([new_job("two")])


def test_jobs_are_enqueued_within_it(storage, running, begin):
    for job_id, end in (("two", "roll_back"), ("three", "complete")):
        opened = begin()
        storage.enqueue_within(opened.enter(), [new_job(job_id)])
        opened.roll_back() if end == "roll_back" else opened.complete(completed(running))

    assert storage.get("two") is None
    assert storage.get("three").status is JobStatus.PENDING


def test_a_replaced_file_is_not_written_to(storage, running, path):
    os.rename(path, f"{path}.away")
    sqlite3.connect(path).close()

    with pytest.raises(DatabaseReplacedError):
        storage.open_transaction(Stop())


def test_no_thread_and_no_connection_is_left(storage, running, begin):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        opened = begin()
        opened.enter().execute(WRITE)
        opened.close()

    for thread in threading.enumerate():
        if thread.name == "sqlite-job-transaction":
            thread.join(10)
            assert not thread.is_alive()
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_the_next_of_the_group_is_released_in_the_same_commit(storage, begin):
    conditions = Conditions(group_key="g", group_limit=1)
    storage.enqueue([new_job("one", conditions=conditions), new_job("two", conditions=conditions)])
    (job,) = claim(storage)
    opened = begin()
    opened.enter()

    # The worker dies after this: nobody would look at the group again.
    assert opened.complete(completed(job))

    assert storage.get("two").status is JobStatus.PENDING
