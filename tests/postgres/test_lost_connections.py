"""Connections are lost, at a COMMIT or between two uses: nothing is lost with them, nothing is done twice."""

from __future__ import annotations

import os
from contextlib import ExitStack

import psycopg
import pytest

from sqlite_job import SQLiteJob, Worker, WorkerSettings
from sqlite_job.core.stopping import Stop
from sqlite_job.events import JobsRescued, StorageFailed, StorageRecovered, WorkerExpelled
from sqlite_job.storage.opening import _make_storage, locate
from sqlite_job.storage.postgres import clock, committing
from sqlite_job.storage.postgres.committing import Doubt, InDoubtError
from tests.acceptance.processes import DEADLINE, wait_until
from tests.postgres.proxy import AFTER, BEFORE, UNNOTICED, Proxy
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle, wanted

EACH_WAY = pytest.mark.parametrize("how", [BEFORE, AFTER, UNNOTICED])


@pytest.fixture
def proxy(postgres_server):
    made = Proxy(postgres_server.port)
    yield made
    made.close()


@pytest.fixture
def storage(proxy, postgres_url):
    """A storage that reaches the server through the proxy, with worker 1 registered."""
    made = _make_storage(locate(proxy.url_of(postgres_url)), "full", False)
    assert made.register_worker(("default",), NOW, LEASE) == 1
    yield made
    proxy.let_in()
    made.unregister_worker(1)
    made.close()


@pytest.fixture
def impatient(monkeypatch):
    """Let nobody look for a server longer than a moment."""
    monkeypatch.setattr(committing, "_LOST_SECONDS", 0.3)


@pytest.fixture
def rows(postgres_url):
    """Return a function that reads rows past the proxy."""
    connection = psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True)
    yield lambda query: connection.execute(query).fetchall()
    connection.close()


JOBS = "SELECT id, status, worker_id, claim_number FROM sqlitejob_job ORDER BY seq"


# ---- the COMMIT of an enqueue


def unnamed(job_id):
    """Return a job whose id was made up, so that nobody looks whether it is there already."""
    return new_job(job_id, has_own_id=False)


@EACH_WAY
def test_a_job_whose_commit_loses_its_connection_is_there_once(proxy, storage, rows, how):
    proxy.cut_next(how)
    storage.enqueue([unnamed("a"), unnamed("b")])

    assert proxy.cuts == 1
    assert [row[:2] for row in rows(JOBS)] == [("a", "pending"), ("b", "pending")]


@EACH_WAY
def test_a_job_is_there_once_though_its_second_commit_is_lost_too(proxy, storage, rows, how):
    proxy.cut_next(BEFORE)
    proxy.cut_next(how)
    storage.enqueue([unnamed("a")])

    assert proxy.cuts == 2
    assert [row[0] for row in rows(JOBS)] == ["a"]


def test_a_job_that_is_stored_again_after_nobody_knew_is_there_once(storage, rows):
    """As threads that shared a commit do, each for itself, when that one's end could not be asked for."""
    storage.enqueue([unnamed("a"), unnamed("b")])
    storage.enqueue([unnamed("a")])

    assert [row[0] for row in rows(JOBS)] == ["a", "b"]


def test_a_number_that_was_given_before_is_not_taken_for_a_job_that_is_there(storage, rows):
    """As after a dump that was read back without its sequences."""
    storage.enqueue([unnamed("a"), unnamed("b")])
    rows("SELECT setval('sqlitejob_job_seq_seq', 1, false)")
    storage.enqueue([unnamed("c")])

    assert [row[0] for row in rows(JOBS)] == ["a", "b", "c"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("how", "there"), [(BEFORE, []), (AFTER, ["a"])])
def test_who_cannot_be_told_how_an_enqueue_ended_is_told_that(proxy, storage, rows, how, there):
    proxy.cut_next(how, then_refuse=True)
    with pytest.raises(InDoubtError, match="cannot be asked whether it was done"):
        storage.enqueue([new_job("a")])

    assert [row[0] for row in rows(JOBS)] == there


# ---- the COMMIT of an exchange


@EACH_WAY
def test_a_worker_is_given_what_it_claimed_in_a_commit_that_lost_its_connection(proxy, storage, rows, how):
    storage.enqueue([new_job("a"), new_job("b")])
    proxy.cut_next(how)
    claimed = claim(storage)

    assert proxy.cuts == 1
    assert [(job.id, job.claim_number) for job in claimed] == [("a", 1), ("b", 1)]
    assert rows(JOBS) == [("a", "running", 1, 1), ("b", "running", 1, 1)]


@EACH_WAY
def test_an_outcome_whose_commit_loses_its_connection_is_settled_once(proxy, storage, rows, how):
    storage.enqueue([new_job("a")])
    (job,) = claim(storage)
    proxy.cut_next(how)

    assert settle(storage, completed(job)) == []
    assert proxy.cuts == 1
    assert rows(JOBS) == [("a", "completed", None, 1)]
    assert rows("SELECT count(*) FROM sqlitejob_result") == [(1,)]


ALL_DONE = [("a", "completed", None, 1), ("c", "completed", None, 1), ("b", "running", 1, 1)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", [BEFORE, AFTER])
class TestAnExchangeInDoubt:
    """The server cannot be asked for longer than anybody looks for it: the next exchange finds out."""

    @pytest.fixture(autouse=True)
    def _exchange(self, impatient, proxy, storage, how):
        """Jobs `a` and `c` run, `b` waits; one exchange settles `a` and claims `b`, and is in doubt."""
        storage.enqueue([new_job("a"), new_job("c")])
        self.outcomes = [completed(job) for job in claim(storage)]
        storage.enqueue([new_job("b")])
        proxy.cut_next(how, then_refuse=True)
        with pytest.raises(InDoubtError):
            storage.exchange(1, self.outcomes[:1], wanted(), NOW)

    def exchange_again(self, storage):
        found = storage.exchange(1, self.outcomes, wanted(), NOW)
        return [job.id for job in found.claimed], found.stale

    def test_the_next_one_gives_what_was_claimed_and_settles_nothing_twice(self, proxy, storage, rows):
        proxy.let_in()
        assert self.exchange_again(storage) == (["b"], [])

        assert rows(JOBS) == ALL_DONE
        assert claim(storage) == []

    def test_a_worker_that_sees_nothing_to_do_is_sent_to_find_out(self, proxy, storage):
        proxy.let_in()
        assert storage.peek(wanted(), NOW).is_ready

        self.exchange_again(storage)
        assert not storage.peek(wanted(), NOW).is_ready

    def test_it_is_kept_until_somebody_can_be_asked(self, proxy, storage):
        with pytest.raises(InDoubtError):
            self.exchange_again(storage)
        proxy.let_in()

        assert self.exchange_again(storage) == (["b"], [])

    @pytest.mark.parametrize("second", [BEFORE, AFTER])
    def test_nothing_is_forgotten_when_the_next_one_is_in_doubt_as_well(self, proxy, storage, rows, second):
        proxy.let_in()
        proxy.cut_next(second, then_refuse=True)
        with pytest.raises(InDoubtError):
            self.exchange_again(storage)
        proxy.let_in()

        assert self.exchange_again(storage) == (["b"], [])
        assert rows(JOBS) == ALL_DONE

    def test_nothing_is_kept_of_a_worker_that_has_ended(self, proxy, storage, rows):
        proxy.let_in()
        storage.unregister_worker(1)
        assert not storage._unheard

        storage.rescue(NOW, 3)
        assert {row[2] for row in rows(JOBS)} == {None}


# ---- a crash

WHO_AM_I = "SELECT pg_current_xact_id()::text, (SELECT checkpoint_lsn::text FROM pg_control_checkpoint())"


@pytest.fixture
def own_storage(own_postgres_server):
    made = _make_storage(locate(own_postgres_server.url), "full", False)
    made.counts()
    yield made
    made.close()


def test_a_commit_that_a_crash_forgot_is_not_taken_for_another_that_got_its_number(own_postgres_server, own_storage):
    """The server gives a transaction's number out again, if nothing of it had reached the disk when it crashed."""
    with psycopg.connect(own_postgres_server.conninfo_of("postgres")) as connection:
        xid, checkpoint = connection.execute(WHO_AM_I).fetchone()
        own_postgres_server.restart("immediate")
        connection.close()
    doubt = Doubt(xid, None, checkpoint)
    assert not own_storage._committer.is_committed(doubt)
    with psycopg.connect(own_postgres_server.conninfo_of("postgres"), autocommit=True) as another:
        while another.execute("SELECT pg_current_xact_id()::text").fetchone()[0] != xid:
            pass
        assert another.execute("SELECT pg_xact_status(%s::text::xid8)", [xid]).fetchone() == ("committed",)

    assert not own_storage._committer.is_committed(doubt)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_commit_that_a_server_remembers_counts_after_its_restart(own_postgres_server, own_storage, mode):
    with psycopg.connect(own_postgres_server.conninfo_of("postgres")) as connection:
        xid, checkpoint = connection.execute(WHO_AM_I).fetchone()
        connection.execute("CREATE TABLE written (n int)")
        connection.commit()
        own_postgres_server.restart(mode)
        connection.close()

    assert own_storage._committer.is_committed(Doubt(xid, None, checkpoint))


# ---- a restart


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_connections_that_idled_when_the_server_was_restarted_are_replaced_unnoticed(
    own_postgres_server, own_storage, mode
):
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(own_storage._connections.borrowed())
    own_storage.enqueue([new_job("a")])
    worker = own_storage.register_worker(("default",), NOW, LEASE)
    own_postgres_server.restart(mode)
    transaction = own_storage.open_transaction(Stop())
    transaction.close()
    own_postgres_server.restart(mode)

    own_storage.enqueue([new_job("b")])
    assert own_storage.peek(wanted(), NOW).is_ready
    own_postgres_server.restart(mode)
    jobs = claim(own_storage, worker_id=worker)
    own_postgres_server.restart(mode)
    assert settle(own_storage, *map(completed, jobs), worker_id=worker) == []
    assert [job.id for job in jobs] == ["a", "b"]


def add(a, b):
    return a + b


class Adding(WorkerSettings):
    functions = [add]
    serializer = "json"


@pytest.mark.usefixtures("impatient")
def test_a_worker_outlives_a_restart_of_the_server_and_says_so(own_postgres_server, caplog):
    jobs = SQLiteJob("default", Adding(own_postgres_server.url))
    events = []
    worker = Worker("default", Adding(own_postgres_server.url))
    worker.subscribe(events.append)
    with worker.running_in_background():
        assert jobs.enqueue(add, 1, 2).result(DEADLINE) == 3
        own_postgres_server.stop("fast")
        wait_until(lambda: any(isinstance(event, StorageFailed) for event in events), "it does not notice")
        own_postgres_server.start()
        wait_until(lambda: any(isinstance(event, StorageRecovered) for event in events), "it does not come back")
        assert jobs.enqueue(add, 2, 2).result(DEADLINE) == 4
    jobs.close()

    text = caplog.text
    assert "cannot be reached" in text
    assert text.index("The database can be used again, after ") > text.index("cannot be reached")
    assert {type(event) for event in events}.isdisjoint({WorkerExpelled, JobsRescued})


@pytest.mark.usefixtures("impatient")
def test_a_worker_may_end_while_the_server_is_away(own_postgres_server, caplog):
    jobs = SQLiteJob("default", Adding(own_postgres_server.url))
    with Worker("default", Adding(own_postgres_server.url)).running_in_background():
        assert jobs.enqueue(add, 1, 2).result(DEADLINE) == 3
        own_postgres_server.stop("fast")
    own_postgres_server.start()

    assert "cannot be reached" in caplog.text
    with Worker("default", Adding(own_postgres_server.url)).running_in_background():
        assert jobs.enqueue(add, 2, 2).result(DEADLINE) == 4
    jobs.close()


@pytest.mark.usefixtures("impatient")
def test_who_asks_for_the_time_while_the_server_is_away_is_told_it(own_postgres_server, own_storage, monkeypatch):
    known = own_storage.clock_offset
    monkeypatch.setattr(clock, "_AGAIN_SECONDS", 0.0)
    with own_storage._connections.borrowed() as connection:
        own_storage._clock.compare(connection)
    own_postgres_server.stop("immediate")

    assert own_storage.clock_offset == pytest.approx(known, abs=100_000)


def test_a_program_with_many_open_files_hears_of_commits_too(own_storage, own_postgres_server):
    """select() refuses descriptors above 1023."""
    resource = pytest.importorskip("resource", reason="no such limits here")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this system does not let a process open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        watcher = own_storage.watch()
        other = _make_storage(locate(own_postgres_server.url), "full", False)
        while watcher.wait(0.1):
            pass  # the first connection is a sign by itself
        other.enqueue([new_job()])
        assert watcher.wait(DEADLINE)
        watcher.close()
        other.close()
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
