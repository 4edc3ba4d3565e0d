"""Half a minute of chaos: real workers and producers, killed and frozen at random; `make chaos` runs longer ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sqlite_job.core.states import JobStatus
from tests.chaos.checker import Limits, check
from tests.chaos.figures import figures
from tests.chaos.history import History
from tests.chaos.tasks import EXPECTED, MAX_TRIES, Threads

ROOT = Path(__file__).parents[2]

# Machines that run tests are busy: a dead worker is seen within a second where there is a processor to see it with.
LIMITS = Limits(EXPECTED, MAX_TRIES, Threads.max_deaths, promise_seconds=5)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.mark.timeout(240)
def test_nothing_is_lost_stuck_or_done_twice_whoever_is_killed(tmp_path):
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "25", "--promise", "5", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=230)
    assert done.returncode == 0, done.stdout + done.stderr

    # And it was chaos: a run in which nothing happened would prove nothing.
    history = History.read(str(tmp_path / "history"))
    assert len(history.acknowledged) > 500
    kills = [fault.role for fault in history.faults if fault.kind == "kill"]
    assert kills.count("worker") > 10
    assert kills.count("producer") > 5
    assert "poison" in kills
    assert [fault for fault in history.faults if fault.kind == "freeze"]
    found = figures(str(tmp_path / "jobs.db"), history, LIMITS, check(str(tmp_path / "jobs.db"), history, LIMITS))
    assert (found["lost"], found["stuck"], found["completed twice in the record"]) == ("0", "0", "0")


def test_the_run_knows_the_statuses_of_the_product():
    assert {status.value for status in JobStatus if status.is_final} >= set(EXPECTED.values())
