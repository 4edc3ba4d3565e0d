"""with_options(session=...): a job that exists if and only if the user's transaction commits."""

from __future__ import annotations

import gc
import sqlite3
import sys
import weakref
from contextlib import closing

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, event, func, insert, select, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from sqlite_job import (
    DatabaseBusyError,
    DatabaseFullError,
    InvalidOptionError,
    JobNotFoundError,
    JobStatus,
    OtherDatabaseError,
    SQLiteJob,
    TransactionStateError,
    call,
)
from tests.doors.making import count_jobs, drain, execute, settings_of

pytestmark = pytest.mark.files("tests/postgres/test_session.py has the sessions of PostgreSQL")

orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True))


def add(a, b=0):
    return a + b


def begin_immediate(engine):
    """Let an engine begin as the how-to says."""

    @event.listens_for(engine, "connect")
    def leave_it_to_us(connection, _record):
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def engine_of(database, mode="default", **arguments):
    """Return an engine on the database, which has a table of the user's."""
    if mode == "pep249":
        if sys.version_info < (3, 12):
            pytest.skip("needs Python 3.12, which brought the attribute autocommit")
        arguments["autocommit"] = False
    engine = create_engine(f"sqlite:///{database}", connect_args=arguments)
    if mode == "immediate":
        begin_immediate(engine)
    with engine.begin() as connection:
        orders.create(connection, checkfirst=True)
    return engine


@pytest.fixture(params=["default", "immediate", "pep249"])
def engine(request, jobs, database):
    jobs.counts()
    made = engine_of(database, request.param)
    yield made
    made.dispose()


@pytest.fixture(params=["session", "scoped", "connection", "driver"])
def session(request, engine):
    """Whatever has a transaction, and execute, commit and rollback of SQLAlchemy's."""
    if request.param == "session":
        with Session(engine) as made:
            yield made
    elif request.param == "scoped":
        registry = scoped_session(sessionmaker(engine))
        yield registry
        registry.remove()
    else:
        with engine.connect() as connection:
            yield connection if request.param == "connection" else Driver(connection)


class Driver:
    """The sqlite3.Connection of an SQLAlchemy one, with an execute that takes what SQLAlchemy's takes."""

    def __init__(self, connection):
        self.given = connection.connection.driver_connection
        self._begin()

    def execute(self, statement):
        if not statement.compile().params:
            return self.given.execute(str(statement))
        return self.given.execute(str(statement.compile(compile_kwargs={"literal_binds": True})))

    def commit(self):
        self.given.commit()
        self._begin()

    def rollback(self):
        self.given.rollback()
        self._begin()

    def _begin(self):
        if self.given.isolation_level is None:
            self.given.execute("BEGIN IMMEDIATE")


def given(session):
    return getattr(session, "given", session)


def count_orders(database):
    return execute(database, "SELECT count(*) FROM orders")[0][0]


# ---- if and only if it commits


def test_the_job_is_there_when_the_transaction_has_committed(jobs, session, database):
    job = jobs.with_options(session=given(session)).enqueue("add", 1, 2)
    session.execute(insert(orders).values(id=1))
    before = count_jobs(database)
    session.commit()

    assert before == 0
    assert job.info().arguments == "1, 2"
    assert count_orders(database) == 1


def test_the_job_never_existed_when_the_transaction_was_rolled_back(jobs, session, database):
    session.execute(insert(orders).values(id=1))
    job = jobs.with_options(session=given(session)).enqueue("add", 1, 2)
    session.rollback()

    with pytest.raises(JobNotFoundError):
        job.info()
    assert count_jobs(database) == count_orders(database) == 0


def test_what_was_read_before_does_not_stand_in_the_way(jobs, session, database):
    session.execute(select(func.count()).select_from(orders)).fetchall()
    jobs.with_options(session=given(session)).enqueue("add", 1)
    session.commit()

    assert count_jobs(database) == 1


def test_many_jobs_are_in_one_transaction(jobs, session, database):
    made = jobs.with_options(session=given(session), tags=["t"]).enqueue_many([call("add", n) for n in range(50)])
    session.rollback()
    assert count_jobs(database) == 0

    made = jobs.with_options(session=given(session), tags=["t"]).enqueue_many([call("add", n) for n in range(50)])
    session.commit()
    assert [job.info().arguments for job in made] == [str(n) for n in range(50)]


def test_one_transaction_takes_jobs_again_and_again_and_the_next_one_too(jobs, session, database):
    inside = jobs.with_options(session=given(session))
    for _ in range(3):
        inside.enqueue("add", 1)
        session.execute(insert(orders).values(id=None))
        inside.with_options(delay=60).enqueue("add", 2)
    session.commit()
    inside.enqueue("add", 3)
    session.rollback()

    assert (count_jobs(database), count_orders(database)) == (6, 3)


def test_a_job_vanishes_with_its_savepoint_alone(jobs, engine, database):
    with Session(engine) as session:
        session.execute(insert(orders))
        kept = jobs.with_options(session=session).enqueue("add", 1)
        savepoint = session.begin_nested()
        gone = jobs.with_options(session=session).enqueue("add", 2)
        savepoint.rollback()
        session.commit()

    assert kept.status() is JobStatus.PENDING
    with pytest.raises(JobNotFoundError):
        gone.status()


def test_a_worker_runs_the_job_and_the_handle_outlives_the_session(database):
    settings = settings_of(database, add)
    jobs = SQLiteJob("default", settings)
    jobs.counts()
    engine = engine_of(database)
    with Session(engine) as session, session.begin():
        session.execute(insert(orders))
        job = jobs.with_options(session=session).enqueue(add, 1, 2)
    gone = weakref.ref(session)
    del session
    engine.dispose()
    gc.collect()

    assert drain(settings) == 1
    assert job.result(timeout=0) == 3
    assert gone() is None


def test_an_id_of_ones_own_names_one_job_inside_of_a_transaction_too(jobs, engine, database):
    with Session(engine) as session:
        mine = jobs.with_options(session=session, job_id="mine")
        assert mine.enqueue("add", 1) == mine.enqueue("add", 2) == "mine"
        session.commit()

    assert jobs.get_job("mine").arguments == "1"
    assert count_jobs(database) == 1


# ---- what the user has set stays as it is


def test_rows_and_texts_are_read_as_ours_whatever_the_users_factories(jobs, database):
    jobs.counts()
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = lambda _cursor, row: {"row": row}
        connection.text_factory = bytes
        mine = jobs.with_options(session=connection, job_id="mine")
        for _ in range(2):
            mine.enqueue("add", 1)
        assert connection.execute("SELECT 'a'").fetchone() == {"row": (b"a",)}
        connection.commit()

    assert count_jobs(database) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs Python 3.12, which brought the attribute autocommit")
def test_a_connection_that_commits_by_itself_needs_a_transaction_of_ones_own(jobs, database):
    jobs.counts()
    with closing(sqlite3.connect(database, autocommit=True)) as connection:
        with pytest.raises(TransactionStateError, match="BEGIN IMMEDIATE"):
            jobs.with_options(session=connection).enqueue("add", 1)
        connection.execute("BEGIN")
        jobs.with_options(session=connection).enqueue("add", 1)
        connection.execute("ROLLBACK")
        assert count_jobs(database) == 0


def test_without_a_transaction_a_connection_in_autocommit_is_refused_with_the_recipe(jobs, database):
    jobs.counts()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        with pytest.raises(TransactionStateError, match="BEGIN IMMEDIATE"):
            jobs.with_options(session=connection).enqueue("add", 1)
        connection.execute("BEGIN")
        jobs.with_options(session=connection).enqueue("add", 1)
        connection.execute("COMMIT")
    engine = create_engine(f"sqlite:///{database}", isolation_level="AUTOCOMMIT")
    with Session(engine) as session, pytest.raises(TransactionStateError, match="'begin' event"):
        jobs.with_options(session=session).enqueue("add", 1)
    engine.dispose()

    assert count_jobs(database) == 1


# ---- another database


def test_another_database_is_refused_with_both_paths(jobs, tmp_path, database):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        with pytest.raises(OtherDatabaseError) as caught:
            jobs.with_options(session=connection).enqueue("add", 1)
        assert not connection.in_transaction

    assert (caught.value.ours, caught.value.theirs) == (str(database), str(tmp_path / "other.db"))
    assert caught.value.ours in str(caught.value)
    assert caught.value.theirs in str(caught.value)
    assert count_jobs(database) == 0


def test_a_database_in_memory_is_another_one(jobs):
    engine = create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(OtherDatabaseError, match="':memory:'"):
        jobs.with_options(session=session).enqueue("add", 1)
    engine.dispose()


def test_the_same_file_by_another_name_is_the_same_database(jobs, tmp_path, database):
    jobs.counts()
    link = tmp_path / "link.db"
    link.symlink_to(database)
    with closing(sqlite3.connect(link)) as connection:
        jobs.with_options(session=connection).enqueue("add", 1)
        connection.commit()

    assert count_jobs(database) == 1


def test_a_queue_that_is_only_attached_is_refused(jobs, tmp_path, database):
    jobs.counts()
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("ATTACH ? AS queue", (str(database),))
        with pytest.raises(OtherDatabaseError, match="attached to it as 'queue'"):
            jobs.with_options(session=connection).enqueue("add", 1)


def test_a_database_of_another_kind_is_refused(jobs, database):
    jobs.counts()
    engine = create_engine(f"sqlite:///{database}")
    engine.dialect.name = "postgresql"
    with Session(engine) as session, pytest.raises(OtherDatabaseError, match="sqlite:///"):
        jobs.with_options(session=session).enqueue("add", 1)
    engine.dispose()


def test_a_session_of_several_engines_has_to_say_which(jobs, database):
    jobs.counts()
    ours, other = create_engine(f"sqlite:///{database}"), create_engine("sqlite://")
    with Session(binds={orders: ours, Table("more", MetaData()): other}) as session:
        with pytest.raises(OtherDatabaseError, match="bind_arguments"):
            jobs.with_options(session=session).enqueue("add", 1)
        connection = session.connection(bind_arguments={"bind": ours})
        jobs.with_options(session=connection).enqueue("add", 1)
        session.commit()
    ours.dispose()
    other.dispose()

    assert count_jobs(database) == 1


# ---- locks


def test_a_lock_of_another_is_an_error_that_explains_and_loses_nothing(jobs, database):
    jobs.counts()
    engine = engine_of(database, timeout=0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as other, Session(engine) as session:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError, match="longer than your connection's timeout"):
            jobs.with_options(session=session).enqueue("add", 1)
        other.execute("COMMIT")
        jobs.with_options(session=session).enqueue("add", 1)
        session.commit()
    engine.dispose()

    assert count_jobs(database) == 1


def test_beginning_behind_a_lock_is_the_same_error(jobs, database):
    jobs.counts()
    engine = engine_of(database, "immediate", timeout=0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as other, Session(engine) as session:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError, match="longer than your connection's timeout"):
            jobs.with_options(session=session).enqueue("add", 1)
    engine.dispose()


def test_a_read_that_cannot_become_a_write_is_an_error_that_explains(jobs, database):
    jobs.counts()
    engine_of(database).dispose()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM orders").fetchall()
        execute(database, "INSERT INTO orders DEFAULT VALUES")
        with pytest.raises(DatabaseBusyError, match=r"began with a read.*BEGIN IMMEDIATE"):
            jobs.with_options(session=connection).enqueue("add", 1)
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        jobs.with_options(session=connection).enqueue("add", 1)
        connection.execute("COMMIT")

    assert count_jobs(database) == 1


def test_tables_that_are_missing_are_made_before_the_transaction(jobs, database):
    engine = create_engine(f"sqlite:///{database}")
    begin_immediate(engine)
    with Session(engine) as session:
        jobs.with_options(session=session).enqueue("add", 1)
        session.commit()
    engine.dispose()

    assert count_jobs(database) == 1


def test_tables_that_cannot_be_made_behind_the_users_own_lock_are_told(jobs, database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
        connection.execute("PRAGMA journal_mode=WAL")
        database.chmod(0o600)
        connection.execute("INSERT INTO orders VALUES (1)")
        with pytest.raises(DatabaseBusyError, match=r"tables are not in .* yet"):
            jobs.with_options(session=connection).enqueue("add", 1)
        connection.commit()
        jobs.with_options(session=connection).enqueue("add", 1)
        connection.commit()

    assert (count_jobs(database), count_orders(database)) == (1, 1)


def test_an_error_in_the_middle_leaves_nothing_of_the_job_and_all_that_was_before(jobs, database):
    jobs.counts()
    engine_of(database).dispose()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO orders DEFAULT VALUES")
        # Somebody's trigger, made for this moment: the job's own row is in already.
        connection.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.sqlitejob_payload BEGIN SELECT raise(ABORT, 'no'); END"
        )
        with pytest.raises(Exception, match="no"):
            jobs.with_options(session=connection).enqueue("add", 1)
        connection.commit()

    assert (count_jobs(database), count_orders(database)) == (0, 1)


def test_a_full_database_is_an_error_of_its_own(jobs, database):
    jobs.counts()
    with closing(sqlite3.connect(database)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(DatabaseFullError):
            jobs.with_options(session=connection).enqueue("add", b"x" * 100_000)
        assert not connection.in_transaction
        connection.commit()

    assert count_jobs(database) == 0


# ---- what is no session


@pytest.mark.parametrize("wrong", ["jobs.db", 5, object()])
def test_what_is_no_session_is_refused_by_its_value(jobs, wrong):
    with pytest.raises(InvalidOptionError, match="not .*" + repr(wrong)[:5].replace("(", ".")):
        jobs.with_options(session=wrong)


def test_the_wrapper_of_django_is_refused_with_the_mend(jobs, database):
    class Wrapper:
        connection = None

    wrapper = Wrapper()
    wrapper.connection = sqlite3.connect(":memory:")
    with pytest.raises(InvalidOptionError, match=r"session=connection\.connection"):
        jobs.with_options(session=wrapper)
    wrapper.connection.close()


def test_a_closed_connection_is_refused(jobs, database):
    jobs.counts()
    connection = sqlite3.connect(database)
    connection.close()
    with pytest.raises(InvalidOptionError, match="closed"):
        jobs.with_options(session=connection).enqueue("add", 1)


def test_the_engine_itself_is_no_session(jobs, database):
    engine = create_engine(f"sqlite:///{database}")
    with pytest.raises(InvalidOptionError, match="Engine"):
        jobs.with_options(session=engine)
    engine.dispose()


def test_statements_of_the_user_go_on_after_an_enqueue(jobs, engine, database):
    """Our savepoint is released: SQLAlchemy's own come before and after it."""
    with Session(engine) as session:
        session.execute(insert(orders).values(id=1))
        with session.begin_nested():
            jobs.with_options(session=session).enqueue("add", 1)
            session.execute(text("UPDATE orders SET id = 2"))
        session.commit()

    assert execute(database, "SELECT id FROM orders") == [(2,)]
