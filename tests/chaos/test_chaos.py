"""Half a minute of chaos: real workers and producers, killed and frozen at random; `make chaos` runs longer ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sqlite_job.core.states import JobStatus
from tests.chaos.history import History
from tests.chaos.tasks import EXPECTED
from tests.postgres.fixtures import need_server

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.mark.timeout(240)
def test_nothing_is_lost_stuck_or_done_twice_whoever_is_killed(tmp_path):
    found = run(tmp_path, "sqlite")

    # And it was chaos: a run in which nothing happened would prove nothing.
    history = History.read(str(tmp_path / "history"))
    assert len(history.acknowledged) > 500
    kills = [fault.role for fault in history.faults if fault.kind == "kill"]
    assert kills.count("worker") > 10
    assert kills.count("producer") > 5
    assert "poison" in kills
    assert [fault for fault in history.faults if fault.kind == "freeze"]
    assert (found["lost"], found["stuck"], found["completed twice in the record"]) == ("0", "0", "0")


@pytest.mark.timeout(240)
def test_nothing_is_lost_stuck_or_done_twice_on_a_server_that_goes_away_itself(tmp_path):
    need_server()
    found = run(tmp_path, "postgres")

    history = History.read(str(tmp_path / "history"))
    assert len(history.acknowledged) > 200
    faults = {(fault.kind, fault.role) for fault in history.faults}
    assert faults >= {("kill", "worker"), ("kill", "producer"), ("down", "fast"), ("down", "immediate")}
    assert faults >= {("cut", "session"), ("cut", "listener")}
    assert (found["lost"], found["stuck"], found["completed twice in the record"]) == ("0", "0", "0")


def run(folder, database):
    """Let the chaos be for 25 seconds, check the invariants, and return the figures."""
    # Machines that run tests are busy: a dead worker is seen within a second where there is a processor to see it with.
    command = [sys.executable, "-m", "tests.chaos", "--database", database, "--seconds", "25", "--promise", "5"]
    command += ["--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=230)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = (line.rsplit("  ", 1) for line in done.stdout.splitlines() if "  " in line)
    return {name.strip(): value.strip() for name, value in figures}


def test_the_run_knows_the_statuses_of_the_product():
    assert {status.value for status in JobStatus if status.is_final} >= set(EXPECTED.values())
