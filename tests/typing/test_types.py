"""Hold what type checkers see of the public API: what is right passes, and every wrong line is reported.

`cases/good.py` says the types to infer; in `cases/bad.py` each line with an error is marked `# E:`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Set

import pytest

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).resolve().parents[2]
# The newest mypy on Python 3.8 is used below for what it alone knows; users' code is checked as by newer ones.
OLDEST_MYPY_WITH_TODAYS_RULES = (1, 15)

# In one group, so that the runs of one checker share its cache; the first reads the whole of SQLAlchemy.
pytestmark = [pytest.mark.xdist_group("type checkers"), pytest.mark.timeout(300)]


class Report(NamedTuple):
    """One error of a type checker."""

    line: int
    message: str


def test_mypy_accepts_right_uses() -> None:
    assert mypy_reports("good.py") == []


def test_mypy_reports_every_wrong_use_and_nothing_else() -> None:
    assert_reports_match_marks("bad.py", mypy_reports("bad.py"))


def test_pyright_accepts_right_uses() -> None:
    assert pyright_reports("good.py") == []


def test_pyright_reports_every_wrong_use_and_nothing_else() -> None:
    assert_reports_match_marks("bad.py", pyright_reports("bad.py"))


@pytest.mark.skipif(sys.version_info >= (3, 9), reason="needs Python 3.8: only its mypy knows what 3.8 lacks")
def test_the_sources_use_only_what_python_3_8_has() -> None:
    # Not strict: strict is for `make lint`, and a newer mypy may see an ignored line otherwise.
    run = run_module("mypy", "--config-file=", "--check-untyped-defs", "--ignore-missing-imports", "src")
    assert run.returncode == 0, run.stdout + run.stderr


def assert_reports_match_marks(case: str, reports: List[Report]) -> None:
    reported = {report.line for report in reports}
    marked = marked_lines(case)
    unmarked = [report for report in reports if report.line not in marked]
    assert marked, f"{case} has no line marked `# E:`"
    assert not unmarked, f"{case}: reported, but right: {unmarked}"
    assert reported == marked, f"{case}: wrong, but not reported: lines {sorted(marked - reported)}"


def marked_lines(case: str) -> Set[int]:
    lines = (CASES / case).read_text().splitlines()
    return {number for number, line in enumerate(lines, start=1) if "# E:" in line}


def mypy_reports(case: str) -> List[Report]:
    require("mypy")
    version = tuple(map(int, re.findall(r"\d+", run_module("mypy", "--version").stdout)[:2]))
    if version < OLDEST_MYPY_WITH_TODAYS_RULES:
        pytest.skip(f"mypy {version} is too old; run this on Python 3.9 or newer: pip install -e '.[dev]'")
    run = run_module("mypy", "--strict", "--config-file=", "--no-error-summary", "--hide-error-context", CASES / case)
    assert run.returncode in (0, 1), f"mypy did not run: {run.stdout}{run.stderr}"
    found = [re.fullmatch(r"(.+?):(\d+): error: (.*)", line) for line in run.stdout.splitlines() if ": error: " in line]
    elsewhere = [match.group(0) for match in found if match and Path(match.group(1)).name != case]
    assert not elsewhere, elsewhere
    return [Report(int(match.group(2)), match.group(3)) for match in found if match]


def pyright_reports(case: str) -> List[Report]:
    require("pyright")
    run = run_module("pyright", "--outputjson", "--pythonpath", sys.executable, CASES / case)
    assert run.returncode in (0, 1), f"pyright did not run: {run.stdout}{run.stderr}"
    found = json.loads(run.stdout)["generalDiagnostics"]
    return [
        Report(error["range"]["start"]["line"] + 1, error["message"]) for error in found if error["severity"] == "error"
    ]


def require(checker: str) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} IS NOT INSTALLED, so its view of the types is not tested: pip install -e '.[dev]'")


def run_module(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
