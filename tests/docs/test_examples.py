"""Run every example as its reader would, and check what it prints."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import PATIENCE_SECONDS, ROOT, environment, run

EXAMPLES = ROOT / "examples"
ELLIPSIS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

PRINTED = {
    "01_quick_start": """\
Enqueued: pending and pending
The worker ran 2 jobs
add_numbers gave 30
process_data gave [3, 6, 9, 12]
""",
    "02_typed_handles": """\
A Job is a str: True
No worker yet, so the job is pending
The lengths: [1, 3, 2, 3, 2]
divide failed with ZeroDivisionError: division by zero
The halves: [0.0, 0.5, 1.0, 1.5, 2.0]
Looked up again: word_lengths is completed
""",
    "03_async": """\
The first page: <h1>page 0</h1>
20 pages of 0.3 s each, at once: less than 6 s
""",
    "04_retries": """\
Flaky: answered try 3
  try 1: ConnectionError: no answer to try 1
  try 2: ConnectionError: no answer to try 2
Retry: went on after the pause
Snooze: found on try 1
Cancel: nobody has subscribed
Give up: KeyError after 1 try of 3
Requeue: it failed again, so there are 2 failures on record
""",
    "05_hooks_and_state": """\
on_startup: open the orders
on_job_start: add_order, try 1 of 1
on_job_end: add_order
on_job_start: add_order, try 1 of 1
on_job_end: add_order
on_shutdown: 2 orders; close them
The first result: add_order by ada, tagged shop and test
Found by its tag: 2 jobs
""",
    "06_several_queues": """\
In this order:
  high by its task, with priority 10
  high
  default with priority 5
  default
Queues served at the same time: default, high
Done, last of all: after 0.2 s, then at the given time
The job for tomorrow is scheduled
""",
    "07_in_a_web_app": """\
POST /reports: 202, a job of 36 characters
GET /reports/JOB: (200, {'status': 'pending', 'report': None})
GET /reports/unknown: (404, {'error': 'no such report'})
GET /reports/JOB: (200, {'status': 'completed', 'report': '# Monday\\n\\nAll is well.'})
""",
    "08_json_serializer": """\
A result: {'text': 'Good day, Ada!'}
Not JSON, so nothing was enqueued: the arguments of greet cannot be encoded with 'json': ...
DecodeError: the arguments of greet ... encoded with 'pickle', which is not accepted here (accept = json)
""",
    "09_middleware": """\
on_failure: publish: ConnectionError: cat.png: no answer to request r-17
The result: cat.png for request r-17
Measured: publish, resize
""",
    "10_schedules": """\
From the settings: tick at a full second: True
Made at run time: all is well often
Run now, though paused: all is well today
nightly: At 02:30 every day, Europe/Paris
tick: Every second, Europe/Paris
At the skip: 01:00 UTC on a Sunday
In the future: True
""",
    "11_progress_and_logs": """\
While it runs: 2 of 4 (50%), importing
In the end: 100%
It logged: WARNING row 2 is empty
It logged: WARNING all is imported
Found by its customer: True
""",
    "12_testing": """\
No such job was enqueued: charge('A-1', 30)
<BLANKLINE>
2 jobs were enqueued, nearest first:
  charge('A-1', amount=20)  <- other arguments
  remind('A-1')  <- another function
First try: ConnectionError: the bank is busy
Second try: A-1: 20 charged at 12:01
Three days later: remind ran at 2030-02-03 12:01
Inline: A-1: 20 charged on try 2
Inline: ValueError: A-2 costs nothing
""",
    "13_in_your_transaction": """\
Jobs so far: 0
Rolled back: neither an order nor a job
Committed: order 1 shipped on try 2
Orders shipped: 1
Left of 10 in stock, though the job ran twice: 9
""",
}


def test_every_example_is_tried():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted([*PRINTED, "demo"])


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_should_and_leaves_nothing_behind(name, tmp_path):
    printed = run([sys.executable, str(EXAMPLES / f"{name}.py")], tmp_path)

    assert doctest.OutputChecker().check_output(PRINTED[name], printed, ELLIPSIS), printed
    assert list(tmp_path.iterdir()) == []


def test_the_demo_shows_every_part_without_colour_when_nobody_looks(tmp_path):
    printed = run([sys.executable, str(EXAMPLES / "demo.py")], tmp_path)

    assert "\x1b" not in printed
    headings = re.findall(r"^(\d)\. ", printed, re.MULTILINE)
    assert headings == list("1234567")
    assert "charged 42 on try 2" in printed
    assert "JobFailedError: ValueError" in printed
    assert "Traceback (most recent call last):" in printed
    assert re.search(r"10 pages after \d\.\d\d s, the last one is <h1>Page 9</h1>", printed)
    assert re.search(r"worked off in \d+\.\d\d s: +[\d,]+ jobs a second", printed)
    assert "5,000 of 5,000 results are right" in printed
    assert "stopped after 5,005 jobs" in printed  # one of them took two tries
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_the_demo_has_colours_on_a_terminal(tmp_path):
    assert "\x1b[1;36m1.\x1b[0m" in on_a_terminal([sys.executable, str(EXAMPLES / "demo.py")], tmp_path)


def on_a_terminal(command, folder: Path) -> str:
    import pty  # Windows has none

    ours, theirs = pty.openpty()
    colourful = {name: value for name, value in environment().items() if name not in {"NO_COLOR", "CI"}}
    with subprocess.Popen(
        command, cwd=folder, env={**colourful, "TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            printed += part
        os.close(ours)
        assert process.wait(PATIENCE_SECONDS) == 0, printed.decode(errors="replace")
    return printed.decode(errors="replace")
