from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress

import pytest

from sqlite_job import (
    DatabaseFullError,
    DatabaseMovedError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    Inspector,
    JobStatus,
    MoveDiffersError,
    MoveRefusedError,
    NotOurDatabaseError,
    SQLiteJob,
    Worker,
)
from sqlite_job.moving import move, undo
from sqlite_job.storage.moving import comparing
from sqlite_job.storage.opening import locate
from tests.storage.disks import mounted_disk
from tests.storage.moving import as_on_a_server, contents, execute, fill, settings_of

DEADLINE = 60


@pytest.fixture
def place(tmp_path, request):
    """Return the address of a database by its name: "file one" or "server one", of which nothing is there yet."""
    made, unique = [], uuid.uuid4().hex[:8]

    def address(name):
        kind, _, word = name.partition(" ")
        made.append(str(tmp_path / f"{word}.db") if kind == "file" else url_of(word))
        return made[-1]

    def url_of(word):
        # Storages of this process remember that they have made their tables.
        return f"{request.getfixturevalue('postgres_url')}?schema={word}_{unique}"

    yield address
    for location in set(made):
        for durability in ("full", "normal"):
            SQLiteJob(database=location, durability=durability).close()


@pytest.fixture(
    params=["file one > server two", "server one > file two", "file one > file two", "server one > server two"],
    ids=lambda param: param.replace(" > ", " to ").replace(" one", "").replace(" two", ""),
)
def ends(request, place):
    """The two addresses of a move, in any direction."""
    return tuple(place(name) for name in request.param.split(" > "))


def is_server(location):
    return "://" in location


# ---- what is moved


def test_a_move_keeps_every_row_of_every_table(ends):
    source, target = ends
    fill(source).close()
    before = contents(source)

    moved = move(source, target)

    assert all(before.values()), "a table without rows proves nothing"
    assert contents(target) == (as_on_a_server(before) if is_server(target) else before)
    assert moved.rows == {table: len(rows) for table, rows in before.items()}
    assert (moved.jobs, moved.source, moved.target) == (len(before["sqlitejob_job"]), *map(locate, ends))
    assert len(moved.checksum) == 32


def test_every_status_is_moved(place):
    source, target = place("file one"), place("server two")
    fill(source).close()
    move(source, target)
    found = {row[0] for row in execute(target, "SELECT DISTINCT status FROM {schema}sqlitejob_job")}
    assert found == {status.value for status in JobStatus}


def test_a_round_trip_gives_the_same_rows_and_the_same_checksum(place):
    there, server, back, again = place("file one"), place("server two"), place("file three"), place("server four")
    fill(there).close()
    first = move(there, server)
    second = move(server, back)
    third = move(back, again)
    assert contents(server) == contents(back) == contents(again)
    assert first.checksum == second.checksum == third.checksum


def test_numbers_of_jobs_and_workers_go_on_and_never_come_again(ends):
    source, target = ends
    jobs = fill(source)
    jobs.delete(jobs.with_options(job_id="the last").enqueue("add", 1, 1))
    (last,) = execute(source, "SELECT max(seq) FROM {schema}sqlitejob_job")[0]
    (died,) = execute(source, "SELECT worker_id FROM {schema}sqlitejob_job WHERE status = 'running'")[0]
    jobs.close()
    move(source, target)

    SQLiteJob(database=target).with_options(job_id="next").enqueue("add", 1, 1)
    with Worker("default", settings_of(target)).running_in_background():
        (worker,) = Inspector(target).workers()

    assert execute(target, "SELECT seq FROM {schema}sqlitejob_job WHERE id = 'next'")[0][0] > last + 1
    assert worker.id > died


def test_a_worker_at_the_target_finishes_what_was_begun_at_the_source(ends):
    source, target = ends
    fill(source).close()
    move(source, target)
    open_ones = execute(target, "SELECT id FROM {schema}sqlitejob_job WHERE status IN ('pending', 'running')")
    inspector = Inspector(target)
    with Worker("default", settings_of(target)).running_in_background():
        ended = {job_id: inspector.wait(job_id, timeout=DEADLINE) for (job_id,) in open_ones}

    assert {job.status for job in ended.values()} == {JobStatus.COMPLETED}
    # Both were held by a worker that died; the one that had been rescued had its death counted before.
    assert [(ended[name].result, ended[name].deaths) for name in ("suspect", "held")] == [("'was held'", 1)] * 2
    assert {one.name for one in inspector.schedules()} == {"hourly"}
    assert set(inspector.paused_queues()) == {"mail"}


def test_unique_keys_hold_at_the_target(ends):
    source, target = ends
    jobs = fill(source)
    (holder,) = [job.id for job in jobs.list_jobs() if job.status is JobStatus.PENDING and job.arguments == "7, 8"]
    jobs.close()
    move(source, target)
    assert SQLiteJob(database=target).with_options(unique="only one").enqueue("add", 7, 8) == holder


def test_many_batches_are_moved(place, monkeypatch):
    monkeypatch.setattr(comparing, "MOST_ROWS", 7)
    source, server, back = place("file one"), place("server two"), place("file three")
    fill(source, more=100).close()
    before = contents(source)
    move(source, server)
    move(server, back)
    assert contents(back) == as_on_a_server(before)


# ---- the source after it


def test_who_uses_the_source_afterwards_is_told_the_new_address(ends):
    source, target = ends
    fill(source).close()
    moved = move(source, target)
    for use in (
        lambda: SQLiteJob(database=source).enqueue("add", 1, 2),
        lambda: SQLiteJob(database=source).counts(),
        lambda: Worker("default", settings_of(source)).run(burst=True),
        lambda: Inspector(source).queues(),
    ):
        with pytest.raises(DatabaseMovedError) as caught:
            use()
        assert f"was moved to {moved.target!r}" in str(caught.value)
    assert {str(one.message).count(moved.target) for one in Inspector(source).examine() if one.check == "Schema"} == {2}


def test_who_had_the_source_open_can_write_nothing_more(ends):
    source, target = ends
    jobs = fill(source)
    job = jobs.with_options(job_id="early").enqueue("add", 1, 2)
    move(source, target)
    before = contents(source)
    for use in (
        lambda: jobs.enqueue("add", 3, 4),
        lambda: jobs.cancel(job),
        lambda: jobs.delete(job),
        lambda: jobs.requeue("text"),
        lambda: jobs.pause("default"),
        lambda: jobs.schedules.resume("hourly"),
        lambda: Worker("default", settings_of(source)).run(burst=True),
    ):
        with pytest.raises(DatabaseMovedError, match=r"was moved to .*; nothing was written"):
            use()
    assert contents(source) == before


def test_a_transaction_of_ones_own_cannot_enqueue_at_the_source_any_more(place):
    import sqlalchemy as sa

    for source, target in ((place("file one"), place("file two")), (place("server three"), place("file four"))):
        jobs = fill(source)
        move(source, target)
        url = sa.make_url(source).difference_update_query(["schema"]) if is_server(source) else f"sqlite:///{source}"
        engine = sa.create_engine(url)
        with engine.connect() as connection, pytest.raises(DatabaseMovedError):
            jobs.with_options(session=connection).enqueue("add", 1, 2)
        engine.dispose()
        jobs.close()


def test_a_move_is_undone_while_nothing_was_done_at_the_target(ends):
    source, target = ends
    fill(source).close()
    before = contents(source)
    move(source, target)
    undo(source, target)
    assert contents(source) == before
    assert Worker("default", settings_of(source)).run(burst=True) > 0
    with pytest.raises(DatabaseMovedError, match="was moved to"):
        SQLiteJob(database=target).enqueue("add", 1, 2)


def test_a_move_is_not_undone_once_jobs_have_run_at_the_target(ends):
    source, target = ends
    fill(source).close()
    move(source, target)
    background = Worker("default", settings_of(target)).running_in_background()
    with background, pytest.raises(MoveRefusedError, match="workers that live"):
        undo(source, target)
    Worker("default", settings_of(target)).run(burst=True)
    SQLiteJob(database=target).close()
    with pytest.raises(MoveRefusedError, match=r"is not as it was .*sqlitejob_job, row \d+"):
        undo(source, target)
    SQLiteJob(database=target).enqueue("add", 1, 2)  # it is still in use there
    with pytest.raises(DatabaseMovedError):
        SQLiteJob(database=source).enqueue("add", 1, 2)


def test_a_target_that_is_lost_is_given_up_by_force_only(place):
    source, lost = place("file one"), place("server two")
    fill(source).close()
    move(source, lost)
    Worker("default", settings_of(lost)).run(burst=True)
    with pytest.raises(MoveRefusedError):
        undo(source, lost)
    undo(source, lost, force=True)
    SQLiteJob(database=source).enqueue("add", 1, 2)


def test_what_was_not_moved_is_not_taken_back(place):
    source, target = place("file one"), place("file two")
    fill(source).close()
    with pytest.raises(MoveRefusedError, match="nothing to undo"):
        undo(source, target)


def test_the_same_move_again_says_what_was_moved(ends):
    source, target = ends
    fill(source).close()
    moved = move(source, target)
    SQLiteJob(database=target).enqueue("add", 1, 2)
    assert move(source, target) == moved


# ---- producers meanwhile


def test_what_is_enqueued_during_the_copy_is_moved_and_later_refused(ends):
    source, target = ends
    jobs = fill(source)
    acknowledged, refused = [], []

    def produce(progress):
        name = f"{progress.message} {len(acknowledged) + len(refused)}"
        try:
            acknowledged.append(jobs.with_options(job_id=name).enqueue("add", 1, 2))
        except DatabaseMovedError:
            refused.append(name)

    move(source, target, on_progress=produce)

    assert acknowledged
    assert refused
    assert {name.split()[0] for name in acknowledged} == {"copying"}
    ids = {row[0] for row in execute(target, "SELECT id FROM {schema}sqlitejob_job")}
    assert ids.issuperset(acknowledged)
    assert ids.isdisjoint(refused)


def test_what_is_changed_during_the_copy_is_moved_as_it_is_then(ends):
    source, target = ends
    jobs = fill(source)
    for name in ("cancelled", "deleted", "moved up"):
        jobs.with_options(job_id=name).enqueue("add", 1, 2)
    changed = []

    def change(progress):
        if progress.message == "copying" and progress.done == progress.total and not changed:
            changed.append(progress)
            jobs.cancel("cancelled", reason="meanwhile")
            jobs.delete("deleted")
            jobs.requeue("text")
            jobs.resume("mail")
            jobs.schedules.delete("hourly")

    move(source, target, on_progress=change)

    assert changed
    before = contents(source)
    assert contents(target) == (as_on_a_server(before) if is_server(target) else before)
    assert not before["sqlitejob_schedule"]


PRODUCER = """
import sys
from sqlite_job import DatabaseMovedError, SQLiteJob
jobs = SQLiteJob(database=sys.argv[1])
number = 0
try:
    while True:
        jobs.with_options(job_id=f"{sys.argv[2]}-{number}").enqueue("add", number, 1)
        number += 1
        print(number, flush=True)
except DatabaseMovedError as error:
    print("moved", flush=True)
"""


@pytest.mark.timeout(180)
def test_no_job_of_a_busy_producer_is_lost_or_left_behind(ends):
    source, target = ends
    fill(source).close()
    producers = {
        name: subprocess.Popen(
            [sys.executable, "-c", PRODUCER, source, name], stdout=subprocess.PIPE, universal_newlines=True
        )
        for name in ("one", "two")
    }
    for producer in producers.values():
        assert producer.stdout.readline() == "1\n"
    move(source, target)
    ids = {row[0] for row in execute(target, "SELECT id FROM {schema}sqlitejob_job")}
    for name, producer in producers.items():
        *lines, last = producer.stdout.read().splitlines()
        producer.stdout.close()
        assert (producer.wait(DEADLINE), last) == (0, "moved")
        assert {one for one in ids if one.startswith(name)} == {f"{name}-{number}" for number in range(len(lines) + 1)}


# ---- cut off, and gone on with


KILLED = """
import os, signal, sys
from sqlite_job.moving import move
from sqlite_job.storage.moving import comparing
comparing.MOST_ROWS = 20
step, left = sys.argv[3], int(sys.argv[4])
def die(progress):
    global left
    if progress.message == step:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
move(sys.argv[1], sys.argv[2], on_progress=die)
"""


@pytest.mark.parametrize(
    ("step", "after"), [("copying", 0), ("copying", 1), ("copying", 8), ("comparing", 0), ("comparing", 9)]
)
def test_a_move_that_was_killed_goes_on_and_ends_the_same(ends, step, after):
    source, target = ends
    fill(source, more=100).close()
    before = contents(source)
    killed = subprocess.run([sys.executable, "-c", KILLED, source, target, step, str(after)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(DatabaseMovedError, match=r"is being moved to|was moved to"):
        SQLiteJob(database=target).enqueue("add", 1, 2)
    if step == "copying":
        SQLiteJob(database=source).with_options(job_id="between").enqueue("add", 1, 2)
        before = contents(source)
    else:
        with pytest.raises(DatabaseMovedError):
            SQLiteJob(database=source).enqueue("add", 1, 2)

    moved = move(source, target)

    assert contents(target) == (as_on_a_server(before) if is_server(target) else before)
    assert moved.jobs == len(before["sqlitejob_job"])
    SQLiteJob(database=target).enqueue("add", 1, 2)


def test_what_is_there_already_is_not_written_again(place):
    source, target = place("file one"), place("server two")
    fill(source, more=100).close()
    killed = subprocess.run([sys.executable, "-c", KILLED, source, target, "comparing", "0"], check=False)
    assert killed.returncode == -signal.SIGKILL
    versions = "SELECT xmin::text, seq FROM {schema}sqlitejob_job ORDER BY seq"
    before = execute(target, versions)
    move(source, target)
    assert execute(target, versions) == before


def test_a_move_that_was_killed_can_be_given_up(ends):
    source, target = ends
    fill(source).close()
    subprocess.run([sys.executable, "-c", KILLED, source, target, "comparing", "3"], check=False)
    with pytest.raises(DatabaseMovedError):
        SQLiteJob(database=source).counts()
    undo(source, target)
    SQLiteJob(database=source).enqueue("add", 1, 2)


def test_an_error_before_the_end_leaves_the_source_in_use(ends):
    source, target = ends
    jobs = fill(source)

    def interrupt(progress):
        if progress.message == "comparing" and progress.done:
            with suppress(DatabaseMovedError):
                jobs.enqueue("add", 1, 2)
                pytest.fail("the source is closed while it is compared")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(source, target, on_progress=interrupt)
    jobs.with_options(job_id="after").enqueue("add", 1, 2)
    with pytest.raises(DatabaseMovedError, match="is being moved to"):
        SQLiteJob(database=target).enqueue("add", 1, 2)
    move(source, target)
    assert SQLiteJob(database=target).get_job("after").status is JobStatus.PENDING


def test_a_second_move_to_the_same_target_is_refused_meanwhile(ends):
    source, target = ends
    fill(source).close()
    refusals = []

    def move_again(progress):
        if progress.message == "copying" and not refusals:
            thread = threading.Thread(target=again)
            thread.start()
            thread.join()

    def again():
        try:
            move(source, target)
        except Exception as error:
            refusals.append(error)

    move(source, target, on_progress=move_again)
    (refusal,) = refusals
    assert "is under way" in str(refusal) or "is locked" in str(refusal)


# ---- verification


def test_a_difference_that_does_not_go_away_is_an_error_with_the_table_and_the_key(place):
    """The server itself changes what is written there, as a trigger of somebody else's would."""
    source, target = place("file one"), place("server two")
    jobs = fill(source)
    SQLiteJob(database=target).counts()
    execute(
        target,
        """
        CREATE FUNCTION {schema}spoil() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.function := ''spoiled''; RETURN NEW; END';
        CREATE TRIGGER spoil BEFORE INSERT ON {schema}sqlitejob_job FOR EACH ROW EXECUTE FUNCTION {schema}spoil()
        """,
    )
    with pytest.raises(MoveDiffersError, match="the row 1 of sqlitejob_job") as caught:
        move(source, target)
    assert (caught.value.table, caught.value.key) == ("sqlitejob_job", "1")
    jobs.enqueue("add", 1, 2)
    with pytest.raises(DatabaseMovedError, match="is being moved to"):
        SQLiteJob(database=target).enqueue("add", 1, 2)


# ---- refusals


def test_a_queue_is_not_taken_from_workers_that_live(ends):
    source, target = ends
    jobs = fill(source)
    with Worker("default", settings_of(source)).running_in_background():
        (worker,) = Inspector(source).workers()
        with pytest.raises(MoveRefusedError, match=rf"workers that live: {worker.id} \(process {os.getpid()} on "):
            move(source, target)
    if not is_server(target):
        assert not os.path.exists(target)
    jobs.enqueue("add", 1, 2)


def test_a_worker_that_started_during_the_copy_keeps_its_queue(ends):
    source, target = ends
    jobs = fill(source)
    workers = [Worker("default", settings_of(source))]
    running = []

    def start(progress):
        if workers:
            running.append(workers.pop().running_in_background())
            running[0].__enter__()

    with pytest.raises(MoveRefusedError, match="workers that live"):
        move(source, target, on_progress=start)
    job = jobs.enqueue("add", 1, 2)
    assert job.result(timeout=DEADLINE) == 3
    running[0].__exit__(None, None, None)
    move(source, target)
    assert SQLiteJob(database=target).get_job(job).status is JobStatus.COMPLETED


def test_a_target_with_jobs_is_refused_and_left_as_it_is(ends):
    source, target = ends
    fill(source).close()
    SQLiteJob(database=target).enqueue("add", 1, 2)
    SQLiteJob(database=target).close()
    before = contents(target)
    with pytest.raises(MoveRefusedError, match=r"is not empty \(rows: 1 in sqlitejob_job, 1 in sqlitejob_payload\)"):
        move(source, target)
    assert contents(target) == before
    SQLiteJob(database=source).enqueue("add", 1, 2)


def test_a_target_with_a_worker_is_refused(ends):
    source, target = ends
    fill(source).close()
    background = Worker("default", settings_of(target)).running_in_background()
    with background, pytest.raises(MoveRefusedError, match="workers that live"):
        move(source, target)
    SQLiteJob(database=source).enqueue("add", 1, 2)


def test_a_target_that_another_move_fills_is_refused(place):
    source, other, target = place("file one"), place("file other"), place("server two")
    fill(source).close()
    fill(other).close()
    subprocess.run([sys.executable, "-c", KILLED, other, target, "copying", "3"], check=False)
    before = contents(target)
    with pytest.raises(MoveRefusedError, match="is being filled from"):
        move(source, target)
    assert contents(target) == before


def test_a_source_that_is_not_there_is_refused_and_nothing_is_made(place, tmp_path):
    for source, target in (
        (place("file one"), place("file two")),
        (place("file one"), place("server two")),
        (place("server one"), place("file two")),
    ):
        with pytest.raises(DatabaseUnavailableError, match="There is no queue to move"):
            move(source, target)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatabaseUnavailableError, match="There is no queue to move"):
        move(place("server two"), place("file two"))  # not made as a target either


def test_a_database_is_not_moved_to_itself(place, tmp_path):
    source = place("file one")
    fill(source).close()
    (tmp_path / "link.db").symlink_to(source)
    server = place("server one")
    fill(server).close()
    for here, there in (
        (source, tmp_path / "link.db"),
        (server, server),
        (server, server.replace("postgres@", "postgres:unused@")),
    ):
        with pytest.raises(MoveRefusedError, match="both the source and the target"):
            move(here, there)


def test_what_is_no_queue_is_not_moved(place, tmp_path):
    text, target = tmp_path / "text.db", place("file two")
    text.write_text("dear diary\n" * 100, encoding="utf-8")
    text.chmod(0o600)
    with pytest.raises(NotOurDatabaseError):
        move(text, target)
    source = place("file one")
    fill(source).close()
    with pytest.raises(NotOurDatabaseError):
        move(source, text)
    assert text.read_text(encoding="utf-8") == "dear diary\n" * 100
    SQLiteJob(database=source).enqueue("add", 1, 2)


@pytest.mark.parametrize("kind", ["file", "server"])
@pytest.mark.parametrize(
    ("version", "error", "says"),
    [("0002", DatabaseUnusableError, "bring it up to date first"), ("9999", DatabaseTooNewError, "upgrade")],
)
def test_a_source_of_another_version_is_refused_and_not_migrated(place, kind, version, error, says):
    source = place(f"{kind} one")
    fill(source).close()
    execute(source, f"UPDATE {{schema}}sqlitejob_version SET version_num = '{version}'")
    with pytest.raises(error, match=says):
        move(source, place("file two"))
    assert execute(source, "SELECT version_num FROM {schema}sqlitejob_version") == [(version,)]


def test_a_file_that_somebody_has_open_is_no_target(place):
    source, target = place("file one"), place("file two")
    fill(source).close()
    others = SQLiteJob(database=target)
    others.counts()
    with pytest.raises(MoveRefusedError, match="is open elsewhere"):
        move(source, target)
    others.close()
    move(source, target)


def test_a_target_that_finds_no_room_leaves_the_source_in_use_and_goes_on_when_there_is(place, tmp_path):
    source = place("file one")
    jobs = fill(source)
    for number in range(100):
        jobs.enqueue("add", number, os.urandom(20_000))
    for disk in mounted_disk(tmp_path / "disk", 20_000_000):
        disk.leave(2_000_000)
        with pytest.raises(DatabaseFullError):
            move(source, disk.path)
        jobs.enqueue("add", 1, 2)
        disk.leave(15_000_000)
        move(source, disk.path)
        assert contents(disk.path) == contents(source)
        SQLiteJob(database=disk.path).close()


def test_a_server_that_cannot_be_reached_is_said_so_and_changes_nothing(place, postgres_url):
    source = place("file one")
    fill(source).close()
    missing = postgres_url.rpartition("/")[0] + "/not_there"
    with pytest.raises(DatabaseUnavailableError, match="does not exist"):
        move(source, missing)
    SQLiteJob(database=source).enqueue("add", 1, 2)


def test_a_server_that_ends_in_the_middle_leaves_the_source_in_use(place, own_postgres_server):
    source, target = place("file one"), own_postgres_server.url
    jobs = fill(source)

    def stop(progress):
        if progress.message == "comparing" and progress.done:
            own_postgres_server.stop("immediate")

    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        move(source, target, on_progress=stop)
    jobs.enqueue("add", 1, 2)
    own_postgres_server.start()
    move(source, target)
    assert contents(target) == as_on_a_server(contents(source))
