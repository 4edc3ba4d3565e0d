"""Check that measured work was done: each job ran, once, and its result is right."""

from __future__ import annotations

from collections import Counter
from typing import Any, List, Optional

from benchmarks.check import expect
from benchmarks.compare.ledger import Entry


def check_ran(entries: List[Entry], jobs: int) -> None:
    """Raise WrongWorkError unless each number from 0 on started exactly once."""
    starts = Counter(entry.number for entry in entries if not entry.has_ended)
    missing = [number for number in range(jobs) if number not in starts]
    expect(not missing, f"{len(missing):,} of {jobs:,} jobs never ran, as number {missing[0] if missing else ''}")
    twice = [number for number, times in starts.items() if times > 1]
    expect(not twice, f"{len(twice):,} of {jobs:,} jobs ran more than once, as number {twice[0] if twice else ''}")
    expect(len(starts) == jobs, f"{len(starts):,} jobs ran, and {jobs:,} were asked for")


def check_results(results: Optional[List[Any]], jobs: int) -> None:
    """Raise WrongWorkError unless each job's stored result is its number; nothing is asked of who stores none."""
    if results is None:
        return
    expect(len(results) == jobs, f"{len(results):,} results for {jobs:,} jobs")
    wrong = [(number, result) for number, result in enumerate(results) if result != number]
    first = f"job {wrong[0][0]} has the result {wrong[0][1]!r}" if wrong else ""
    expect(not wrong, f"{len(wrong):,} of {jobs:,} results are wrong or missing: {first}")
