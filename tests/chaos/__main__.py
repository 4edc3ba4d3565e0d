"""usage: python -m tests.chaos [--database sqlite|postgres] [--minutes N | --seconds N] [--folder FOLDER]

Run chaos, check the invariants, print the figures; the exit code is 1 when an invariant is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile

from tests.chaos.checker import Limits, check
from tests.chaos.figures import figures
from tests.chaos.history import History
from tests.chaos.places import PLACES
from tests.chaos.run import Chaos
from tests.chaos.tasks import EXPECTED, MAX_TRIES, Threads, group_of


def main() -> int:
    parser = argparse.ArgumentParser(description="Hurt workers and producers at random, and check that nothing is lost")
    parser.add_argument("--database", choices=sorted(PLACES), default="sqlite", help="on what (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=5, help="how long to hurt (default: 5)")
    parser.add_argument("--seconds", type=float, help="the same in seconds")
    parser.add_argument("--promise", type=float, default=2, help="seconds in which a dead worker's jobs are taken up")
    parser.add_argument("--folder", help="where to keep database and history (default: a temporary folder)")
    options = parser.parse_args()
    folder = options.folder or tempfile.mkdtemp(prefix="chaos-")
    os.makedirs(folder, exist_ok=True)
    chaos = Chaos(os.path.realpath(folder), options.database)
    limits = Limits(EXPECTED, MAX_TRIES, Threads.max_deaths, options.promise, Threads.lease, group_of=group_of)
    try:
        chaos.run(options.minutes * 60 if options.seconds is None else options.seconds)
        history = History.read(chaos.history)
        violations = check(chaos.place.database, history, limits)
        found = figures(chaos.place.database, history, limits, violations)
    finally:
        chaos.place.close()
    for name, value in found.items():
        print(f"{name:60} {value}")
    for violation in violations[:50]:
        print(f"BROKEN {violation.invariant}: {violation.what}")
    print(f"kept in {folder}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
