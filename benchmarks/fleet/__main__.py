"""Show what a fleet asks of one PostgreSQL server, by a model with measured costs.

usage: python -m benchmarks.fleet [--measure] [--check] [--ceilings] [--workers N] [--jobs-a-day N] [...]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable, List, Sequence

from benchmarks import report
from benchmarks.fleet.assumptions import DEAF, EACH_COMMIT, LOOKS, WAYS, Costs, Durations, Fleet, Load, Server
from benchmarks.fleet.ceilings import highest_rate
from benchmarks.fleet.checking import check
from benchmarks.fleet.measuring import Amounts, measure
from benchmarks.fleet.playing import play
from benchmarks.fleet.reckoning import Account
from benchmarks.fleet.simulation import Case
from benchmarks.fleet.tables import Sheet, ceilings_sheet, checked_sheet, day_sheet, measured_sheet, played_sheet
from tools.postgres_server import PostgresServer

# In a document, the tables stand between these two lines.
BEGIN, END = "<!-- model: begin -->", "<!-- model: end -->"

_CEILING_WAYS = (EACH_COMMIT, DEAF, LOOKS)
_FLEETS = (10, 100, 1_000)
_FLUSHES = (0.0002, 0.001)


def main(arguments: List[str]) -> None:
    options = parse(arguments)
    console = report.make_console()
    sheets = []
    for make in chosen(options):
        sheets.append(make(options))
        console.print(sheets[-1].as_rich())
    if options.document is not None:
        replace(options.document, sheets)


def chosen(options: argparse.Namespace) -> List[Callable[[argparse.Namespace], Sheet]]:
    real = [make for is_wanted, make in ((options.measure, measured), (options.check, checked)) if is_wanted]
    return real or [day, played, *([ceilings] if options.ceilings else [])]


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure the costs on a server of its own, and end")
    parser.add_argument("--check", action="store_true", help="compare the model with a small real fleet, and end")
    parser.add_argument("--ceilings", action="store_true", help="also look for the most that smaller fleets carry")
    parser.add_argument("--jobs-a-day", type=float, default=Load().jobs_a_day)
    parser.add_argument("--peak", type=float, default=Load().peak_factor, help="how many times the mean rate")
    parser.add_argument("--median", type=float, default=Durations().median, help="of how long jobs run, in seconds")
    parser.add_argument("--sigma", type=float, default=Durations().sigma, help="of the logarithm of that")
    parser.add_argument("--workers", type=int, default=Fleet().workers)
    parser.add_argument("--slots", type=int, default=Fleet().slots, help="jobs at once in each worker")
    parser.add_argument("--batch", type=int, default=1, help="jobs in each commit of a producer")
    parser.add_argument("--cores", type=int, default=Server().cores)
    parser.add_argument("--flush", type=float, default=Server().flush, help="of the disk, in seconds")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each case is played, after the warm-up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the tables between the two marks in FILE")
    return parser.parse_args(arguments)


def measured(_options: argparse.Namespace) -> Sheet:
    amounts = Amounts()
    with PostgresServer(durable=True, settings={"max_connections": str(max(amounts.listeners) + 100)}) as server:
        return measured_sheet(measure(server, amounts))


def checked(_options: argparse.Namespace) -> Sheet:
    with PostgresServer(durable=True) as server:
        return checked_sheet(check(server))


def day(options: argparse.Namespace) -> Sheet:
    return day_sheet(Account(load_of(options), fleet_of(options), server_of(options), Costs()))


def played(options: argparse.Namespace) -> Sheet:
    load = load_of(options)
    cases = [
        Case(
            rate,
            waking,
            load,
            fleet_of(options),
            server_of(options),
            batch=options.batch,
            seconds=options.seconds,
            seed=options.seed,
        )
        for rate in (load.mean_rate, load.peak_rate)
        for waking in WAYS
    ]
    return played_sheet([play(case) for case in cases])


def ceilings(options: argparse.Namespace) -> Sheet:
    found = {}
    for flush in _FLUSHES:
        server = server_of(options)._replace(flush=flush)
        for workers in _FLEETS:
            rates = [highest_rate(way, workers, server, seed=options.seed) for way in _CEILING_WAYS]
            found[f"{workers:,} workers, a disk of {flush * 1e3:g} ms"] = rates
    return ceilings_sheet(_CEILING_WAYS, found)


def load_of(options: argparse.Namespace) -> Load:
    return Load(options.jobs_a_day, options.peak, Durations(options.median, options.sigma))


def fleet_of(options: argparse.Namespace) -> Fleet:
    return Fleet(options.workers, options.slots)


def server_of(options: argparse.Namespace) -> Server:
    return Server(options.cores, options.flush)


def replace(path: Path, sheets: Sequence[Sheet]) -> None:
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path} has no place for the tables: the lines {BEGIN} and {END}")
    tables = "\n".join(sheet.as_markdown() for sheet in sheets)
    path.write_text(f"{before}{BEGIN}\n{tables}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
