from __future__ import annotations

import subprocess
import sys
from statistics import mean

import pytest

from benchmarks import child
from benchmarks.fleet import __main__ as program
from benchmarks.fleet import ceilings, checking, measuring
from benchmarks.fleet.assumptions import (
    APART,
    DAMPED,
    EACH_COMMIT,
    LOOKS,
    SENTINELS,
    WAYS,
    Costs,
    Durations,
    Fleet,
    Load,
    Server,
    Waking,
)
from benchmarks.fleet.ceilings import highest_rate, is_healthy
from benchmarks.fleet.playing import play
from benchmarks.fleet.reckoning import Account
from benchmarks.fleet.simulation import Case
from benchmarks.fleet.stations import Agenda, Cores, Lock, Log
from benchmarks.fleet.tables import PLAYED_COLUMNS

DOCUMENT = child.ROOT / "docs" / "explanation" / "scaling.md"

FREE = Costs()._replace(**{name: 0 for name in Costs._fields if name != "of_workers"})
SHORT = Load(durations=Durations(median=0.05, sigma=0.5))


def small(waking: Waking = LOOKS, **changes) -> Case:
    case = Case(200.0, waking, SHORT, Fleet(workers=20, slots=4, producers=5), Server(cores=4), seconds=10.0)
    return case._replace(**changes)


# ---- jobs


@pytest.mark.parametrize("waking", WAYS, ids=lambda way: way.name)
def test_every_job_that_was_asked_for_waits_or_runs_or_has_ended(waking):
    played = play(small(waking, warm_up=0.0))

    counts = played.counts
    assert counts["asked"] > 1_000
    assert counts["asked"] - counts["claimed"] == played.waiting
    assert counts["claimed"] + played.inherited - counts["ended"] == played.running
    assert len(played.waits) == counts["claimed"]
    assert counts["ended"] - counts["settled"] == played.unsettled


def test_little_s_law_holds_for_jobs_that_wait_and_for_jobs_that_run():
    played = play(small(seconds=60.0))

    assert played.waiting_seconds == pytest.approx(sum(played.waits), rel=0.02)
    running = played.running_seconds / played.seconds
    assert running == pytest.approx(played.rate("claimed") * SHORT.durations.mean, rel=0.05)


def test_end_of_a_job_is_recorded_after_one_turn_and_one_commit():
    fleet, server, costs = Fleet(workers=50, slots=10, producers=5), Server(cores=64), Costs()
    played = play(small(rate=20.0, fleet=fleet, server=server, seconds=60.0))

    lag = played.unsettled_seconds / played.counts["settled"]
    least = costs.turn_trips * fleet.trip + costs.turn + costs.first_settle + costs.settle + server.flush
    # At times a turn of its own is under way, or a flush of others.
    assert least < lag < 1.15 * least


def test_one_slot_makes_jobs_wait_as_long_as_pollaczek_and_khinchine_say():
    durations = Durations(median=0.1, sigma=0.7)
    rate = 0.6 / durations.mean
    fleet = Fleet(workers=1, slots=1, producers=1, trip=0.0, heartbeat_every=1e9, rescue_every=1e9)
    case = Case(rate, APART, Load(durations=durations), fleet, Server(flush=0.0), FREE, warm_up=100.0, seconds=6_000.0)

    played = play(case)

    expected = rate * durations.mean_square / (2 * (1 - 0.6))
    assert mean(played.waits) == pytest.approx(expected, rel=0.1)


def test_more_workers_never_make_jobs_wait_longer_at_equal_load():
    cases = [small(fleet=Fleet(workers, slots=1, producers=5)) for workers in (14, 20, 40, 80)]

    waits = [mean(play(case).waits) for case in cases]

    # Looks come at random moments: a hundredth is noise.
    assert all(more <= fewer * 1.01 for fewer, more in zip(waits, waits[1:])), waits
    assert waits[0] > 2 * waits[-1], "the least fleet was not short of slots"


def test_load_that_slots_cannot_run_is_not_kept_up_with():
    fits = small(fleet=Fleet(workers=16, slots=1, producers=5))

    assert play(fits).keeps_up
    assert not play(fits._replace(rate=2 * fits.rate)).keeps_up


def test_idle_fleet_sees_a_job_the_sooner_the_more_workers_look():
    waits = {}
    for workers in (10, 100):
        fleet = Fleet(workers, slots=10, producers=1, trip=0.0)
        played = play(small(rate=5.0, fleet=fleet, server=Server(flush=0.0), costs=FREE, seconds=400.0))
        waits[workers] = mean(played.waits)

    # The first of so many looks, each within about a second; a worker that settles looks, too.
    assert waits[10] == pytest.approx(1 / 10, rel=0.25)
    assert waits[100] == pytest.approx(1 / 100, rel=0.25)


# ---- the server


def test_cores_are_busy_for_as_long_as_the_operations_cost():
    costs = Costs(first_claim=0, first_settle=0, claim=0, settle=0)

    played = play(small(costs=costs, seconds=20.0))

    counts = played.counts
    rescue = costs.leases * 20 / costs.of_workers
    look = costs.lock_look * 20 / costs.of_workers
    expected = (
        counts["enqueues"] * costs.enqueue
        + counts["turns"] * costs.turn
        + counts["peeks"] * costs.peek
        + counts["heartbeats"] * costs.heartbeat
        + counts["rescues"] * rescue
        + counts["lock looks"] * look
    )
    assert played.core_seconds == pytest.approx(expected, rel=0.002)


def test_disk_is_busy_for_as_long_as_the_flushes_take_and_many_commits_share_one():
    played = play(small(rate=2_000.0, fleet=Fleet(workers=60, slots=10, producers=5), server=Server(16, flush=0.004)))

    counts = played.counts
    assert played.flush_seconds == pytest.approx(counts["flushes"] * 0.004, rel=0.01)
    assert counts["flushes"] <= 10.0 / 0.004 + 1
    assert counts["commits"] > 3 * counts["flushes"]
    written = counts["enqueues"] + counts["turns"] + counts["heartbeats"]
    assert counts["commits"] == pytest.approx(written, rel=0.01)


def test_commits_that_notify_wait_for_the_disk_one_after_the_other():
    fleet, server = Fleet(workers=40, slots=4, producers=5), Server(cores=1_000, flush=0.004)
    inside = play(small(EACH_COMMIT, fleet=fleet, server=server))
    apart = play(small(APART, fleet=fleet, server=server))

    assert inside.rate("notifies") <= 1 / 0.004
    assert not inside.keeps_up
    assert apart.keeps_up
    # The lock was never free.
    assert inside.lock_seconds == pytest.approx(inside.seconds, rel=0.01)
    assert apart.lock_seconds < 0.1 * apart.seconds


def test_each_notify_wakes_every_session_that_listens():
    # Seldom enough that no session hears two at once.
    fleet = Fleet(workers=20, slots=4, producers=1)
    everybody = play(small(APART, rate=2.0, fleet=fleet, server=Server(cores=64), seconds=200.0))
    few = play(small(APART._replace(listeners=3), rate=2.0, fleet=fleet, server=Server(cores=64), seconds=200.0))

    for played, listeners in ((everybody, 20), (few, 3)):
        assert played.counts["notifies"] == pytest.approx(played.counts["enqueues"], abs=2)
        assert played.counts["wakes"] == pytest.approx(listeners * played.counts["notifies"], rel=0.05)


def test_producer_that_rings_seldom_rings_no_oftener():
    played = play(small(DAMPED, rate=200.0, seconds=60.0))

    assert played.counts["notifies"] <= 5 * (60.0 / 0.1 + 1)
    assert played.counts["notifies"] < played.counts["enqueues"] / 2


def test_producer_that_rings_seldom_leaves_no_job_unannounced():
    # Nobody looks without a sign.
    waking = APART._replace(gap=1.0, poll=1e9)
    fleet = Fleet(workers=20, slots=4, producers=1)

    played = play(small(waking, rate=2.0, fleet=fleet, seconds=300.0))

    assert len(played.waits) > 500
    assert 0.9 < played.wait(1.0) < 1.1


def test_worker_that_rests_after_a_turn_in_vain_spares_the_server():
    eager, patient = (play(small(LOOKS._replace(rests_in_vain=rests), rate=800.0)) for rests in (False, True))

    assert patient.counts["turns in vain"] < eager.counts["turns in vain"]
    assert patient.core_seconds < eager.core_seconds
    assert patient.keeps_up


def test_heartbeats_and_looks_come_as_often_as_the_fleet_says():
    played = play(small(seconds=100.0))

    assert played.rate("heartbeats") == pytest.approx(20 / 10.0, rel=0.05)
    assert played.rate("rescues") == pytest.approx(20 / 1.0, rel=0.02)
    assert played.rate("lock looks") == pytest.approx(20.0, rel=0.02)  # each worker looks, in so small a fleet


def test_big_fleet_makes_no_more_looks_into_the_locks_than_a_small_one():
    played = play(small(LOOKS, rate=10.0, fleet=Fleet(workers=400, slots=1, producers=1), seconds=20.0))

    assert played.rate("lock looks") == pytest.approx(20.0, rel=0.15)


def test_the_same_seed_plays_the_same_and_another_one_does_not():
    first, again, other = (play(small(SENTINELS, seed=seed)) for seed in (7, 7, 8))

    assert first == again
    assert first.waits != other.waits


def test_a_thousand_workers_that_all_hear_each_commit_are_too_much_for_one_server():
    load = Load()
    as_built, looking = (
        play(Case(load.mean_rate, waking, load, warm_up=1.0, seconds=1.0)) for waking in (EACH_COMMIT, LOOKS)
    )

    assert not as_built.keeps_up
    assert is_healthy(looking)


def test_highest_rate_is_carried_and_half_as_much_again_is_not():
    server = Server(cores=4)

    found = highest_rate(EACH_COMMIT, 20, server)

    assert found > 0
    assert is_healthy(play(ceilings.case(found, EACH_COMMIT, 20, server)))
    assert not is_healthy(play(ceilings.case(1.5 * found, EACH_COMMIT, 20, server)))
    assert highest_rate(EACH_COMMIT, 20, server._replace(flush=0.004)) < found


# ---- stations


def test_cores_serve_as_many_at_once_as_there_are_in_the_order_they_came():
    agenda, ended = Agenda(), []
    cores = Cores(agenda, 2)
    for name, seconds in (("a", 3.0), ("b", 1.0), ("c", 1.0), ("d", 5.0)):
        cores.use(seconds, lambda name=name: ended.append((name, agenda.now)))

    agenda.run(10.0)

    assert ended == [("b", 1.0), ("c", 2.0), ("a", 3.0), ("d", 7.0)]
    assert cores.busy.seconds == 10.0


def test_log_flushes_together_what_came_while_it_flushed():
    agenda, ended = Agenda(), []
    log = Log(agenda, 2.0)
    for at in (0.0, 0.5, 1.0):
        agenda.after(at, log.flush, lambda at=at: ended.append((at, agenda.now)))

    agenda.run(10.0)

    assert ended == [(0.0, 2.0), (0.5, 4.0), (1.0, 4.0)]
    assert (log.flushes, log.commits, log.busy.seconds) == (2, 3, 4.0)


def test_lock_is_held_by_one_at_a_time():
    agenda, got = Agenda(), []
    lock = Lock(agenda)

    def hold(name: str) -> None:
        got.append((name, agenda.now))
        agenda.after(2.0, lock.release)

    for name in "abc":
        lock.acquire(lambda name=name: hold(name))
    agenda.run(10.0)

    assert got == [("a", 0.0), ("b", 2.0), ("c", 4.0)]
    assert lock.busy.seconds == 6.0


# ---- a day


def test_account_agrees_with_what_is_played():
    load = Load(jobs_a_day=200.0 * 86_400, durations=SHORT.durations)
    account = Account(load, Fleet(workers=20, slots=4), Server(), Costs())
    played = play(small(seconds=60.0))

    assert account.running == pytest.approx(played.running_seconds / played.seconds, rel=0.05)
    assert account.heartbeats == pytest.approx(played.rate("heartbeats"), rel=0.05)


def test_what_is_written_in_a_day_is_cleaned_in_a_day():
    account = Account(Load(), Fleet(), Server(), Costs())

    assert account.written_rows == 5 * 100e6
    assert account.vacuums * (1_000 + 0.01 * account.kept_jobs) == pytest.approx(3 * 100e6)
    assert account.lease_rows == 1_000 * 1_000


def test_twice_the_days_take_twice_the_room_and_half_the_passes():
    week, fortnight = (Account(Load(kept_days=days), Fleet(), Server(), Costs()) for days in (7, 14))

    assert fortnight.kept_bytes == 2 * week.kept_bytes
    assert fortnight.vacuums == pytest.approx(week.vacuums / 2, rel=0.01)


# ---- the program and its document


def test_program_prints_the_day_and_every_way_and_puts_them_into_a_document(tmp_path):
    document = tmp_path / "scaling.md"
    document.write_text(f"before\n{program.BEGIN}\nold\n{program.END}\nafter\n")
    small_fleet = ["--workers", "10", "--jobs-a-day", "1e6", "--median", "0.05", "--seconds", "0.5"]

    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet", *small_fleet, "--document", str(document)],
        cwd=str(child.ROOT),
        env={**child.environment(), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "12/s on average" in ran.stdout
    text = document.read_text()
    assert text.startswith(f"before\n{program.BEGIN}\n| what | how much |\n")
    assert text.endswith(f"{program.END}\nafter\n")
    assert [text.count(f"| {way.name} |") for way in WAYS] == [2] * len(WAYS)


def test_document_shows_the_tables_of_the_present_program():
    text = DOCUMENT.read_text(encoding="utf-8")

    shown = text[text.index(program.BEGIN) : text.index(program.END)]
    assert f"| {' | '.join(PLAYED_COLUMNS)} |" in shown
    assert [shown.count(f"\n| {way.name} |") for way in WAYS] == [2] * len(WAYS)
    for what, how_much in Account(Load(), Fleet(), Server(), Costs()).rows():
        assert f"| {what} | {how_much} |" in shown, "run python -m benchmarks.fleet --document again"


def test_document_without_marks_is_refused_and_left_alone(tmp_path):
    document = tmp_path / "scaling.md"
    document.write_text("no marks\n")

    with pytest.raises(SystemExit, match="has no place for the tables"):
        program.replace(document, [])

    assert document.read_text() == "no marks\n"


# ---- what it stands on


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU time of other processes is read from /proc")
def test_every_cost_is_measured_on_a_real_server(own_postgres_server):
    samples = measuring.measure(own_postgres_server, measuring.TINY)

    assert {len(values) for values in samples.values()} == {1}
    assert all(values[0] > 0 for what, values in samples.items() if "signal" not in what)
    for what in ("enqueue one, us", "peek, us", "turn in vain, us", "prune, us/job", "look into pg_locks, us"):
        assert what in samples
    assert samples["enqueue in bulk, us/job"] < samples["enqueue one, us"]
    assert samples["WAL of enqueue in bulk, bytes"] < samples["WAL of enqueue one, bytes"]


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU time of other processes is read from /proc")
def test_real_fleet_looks_and_turns_about_as_often_as_the_model_says(own_postgres_server):
    (sample,) = checking.check(own_postgres_server, loads=((3, 20.0),), seconds=3.0)

    for what in ("peeks", "turns"):
        assert sample.modelled[what] / 2 < sample.real[what] < sample.modelled[what] * 2
    assert sample.real["cores"] > 0
