"""What only a process of its own can show: pipes that close, signals, terminals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sqlite_job import Worker, WorkerSettings, call, current_job
from tests.cli.conftest import clean_environment
from tests.doors.making import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, pipes and terminals")

# More rows than a pipe can hold.
MANY = 3_000

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def in_terminal(width: int, *words: str, **environment: str) -> str:
    """Run a command in a terminal of that width, and return what it showed there."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    command = [str(Path(sys.executable).with_name("sqlite-job")), *words]
    variables = {**clean_environment(), "TERM": "xterm", **environment}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=variables)
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                found = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not found:
                break
            shown += found
    finally:
        os.close(ours)
        process.wait(timeout=60)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("option", ["--ids", "--json", "--limit=3000"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_ends_the_program_quietly(folder, jobs, option, unbuffered):
    jobs.enqueue_many([call("f", number, "x" * 40) for number in range(MANY)])
    command = [str(Path(sys.executable).with_name("sqlite-job")), "list", f"--limit={MANY}", option]
    variables = {**clean_environment(), "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


def test_ctrl_c_ends_waiting_and_not_the_job(start, jobs):
    job = jobs.enqueue("f")
    waiting = start("wait", job)
    assert "No worker serves" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate(timeout=60) == ("", "\nInterrupted\n")
    assert waiting.returncode == 130
    assert jobs.get_job(job).status == "pending"


def test_in_a_pipe_there_are_no_colours(start, jobs):
    jobs.enqueue("f")
    assert "\x1b" not in start("list").communicate(timeout=60)[0]


def test_in_a_terminal_there_are_colours_unless_they_are_not_wanted(jobs):
    jobs.enqueue("f")
    assert "\x1b[33mpending" in in_terminal(100, "list")
    assert "\x1b[33m" not in in_terminal(100, "list", NO_COLOR="1")


@pytest.mark.parametrize("width", [40, 80])
def test_however_narrow_the_terminal_ids_are_whole_and_rows_are_one_line(jobs, width):
    ids = [jobs.with_options(job_id="i" * 60).enqueue("f", "x" * 45, "y" * 45), jobs.enqueue("f", "x" * 45, "y" * 45)]
    shown = COLOURS.sub("", in_terminal(width, "list")).splitlines()
    assert len(shown) == 3
    assert [line.split()[0] for line in shown[1:]] == ids[::-1]


def test_rows_fit_the_terminal_where_ids_leave_room(jobs):
    jobs.enqueue("f", "x" * 45, "y" * 45)
    for width in (80, 120):
        shown = COLOURS.sub("", in_terminal(width, "list"))
        assert max(map(len, shown.splitlines())) <= width
        assert "…" in shown
        assert ("Outcome" in shown) is (width == 120)


def test_what_is_shown_of_one_job_is_never_cut(jobs, work):
    def fail():
        raise ValueError("x" * 200)

    job = jobs.with_options(tags=["t" * 100]).enqueue("fail")
    work(fail)
    shown = COLOURS.sub("", in_terminal(40, "show", job))
    assert f"Error     ValueError: {'x' * 200}\n" in shown
    assert f"\nValueError: {'x' * 200}\n" in shown
    assert "t" * 100 in shown


def test_an_output_that_knows_few_characters_is_no_reason_to_fail(folder, jobs):
    job = jobs.enqueue("f", "é…")
    command = [str(Path(sys.executable).with_name("sqlite-job")), "show", job]
    variables = {**clean_environment(), "PYTHONIOENCODING": "latin-1"}
    shown = subprocess.run(command, stdout=subprocess.PIPE, env=variables, timeout=60, check=True).stdout
    assert b"f('\xe9\\u2026')" in shown


def test_waiting_in_a_terminal_shows_a_bar_that_goes_when_the_job_has_ended(folder, jobs):
    shown, job = wait_in_terminal(folder, jobs, [(1, 4, "\x1b[31mred"), (3, 4, "half\nway")])
    assert "1 of 4" in shown
    assert "3 of 4" in shown
    assert r"half\nway" in shown
    assert r"\x1b[31mred" in shown
    assert "\x1b[31mred" not in shown
    assert shown.rstrip().endswith("'ended'")
    assert jobs.get_job(job).status == "completed"


def test_the_bar_only_moves_where_the_total_is_not_known(folder, jobs):
    shown, _ = wait_in_terminal(folder, jobs, [(12_345, None, None)])
    assert "12,345" in shown
    assert " of " not in shown


def test_waiting_in_a_pipe_shows_no_bar(start, folder, jobs):
    told = threading.Event()

    def work():
        current_job().progress(1, 4, "seen by nobody")
        assert told.wait(60)

    job = jobs.enqueue("work")
    waiting = start("wait", job)
    assert "No worker serves" in waiting.stderr.readline()
    with Worker("default", settings_of(folder, work)).running_in_background():
        wait_until(lambda: jobs.progress(job) is not None)
        told.set()
        assert waiting.communicate(timeout=60) == ("None\n", "")


def settings_of(folder, work):
    return type("Settings", (WorkerSettings,), {"functions": [work]})(folder / "sqlite_job.db")


def wait_in_terminal(folder, jobs, said):
    """Let a job say these one after the other, each when the one before was seen by `wait` in a terminal."""
    import pty

    seen = threading.Semaphore(0)

    def work():
        for done, total, message in said:
            current_job().progress(done, total, message)
            assert seen.acquire(timeout=60)
        return "ended"

    job = jobs.enqueue("work")
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("sqlite-job")), "wait", job]
    variables = {**clean_environment(), "TERM": "xterm", "COLUMNS": "100"}
    shown = ""
    with Worker("default", settings_of(folder, work)).running_in_background(), subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables
    ) as process:
        os.close(theirs)
        waited_for = [f"{done:,}" if total is None else f"{done} of {total}" for done, total, _ in said]
        while True:
            try:
                shown += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # Linux says so when the other side is closed
                break
            while waited_for and waited_for[0] in shown:
                waited_for.pop(0)
                seen.release()
        os.close(ours)
        assert process.wait(timeout=60) == 0
    return shown, job
