"""Compare job queues, print the figures, and write every sample as JSON, the tables as Markdown, and charts.

usage: python -m benchmarks.compare [BENCHMARK...] [--system NAME]... [--quick] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Tuple

from benchmarks import machine
from benchmarks.__main__ import RESULTS, replace_table
from benchmarks.child import ChildError
from benchmarks.compare import charts, rounds, servers, tables
from benchmarks.compare.catalogue import SYSTEMS, System
from benchmarks.compare.comparison import Comparison, from_json
from benchmarks.compare.runs import BENCHMARKS, Run
from benchmarks.compare.servers import Server
from benchmarks.compare.sizes import FULL, QUICK, TINY, Sizes


def main(arguments: List[str]) -> int:
    options = parse(arguments)
    # So that servers and workers are ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if options.show is not None:
        compared = from_json(options.show.read_text(encoding="utf-8"))
    else:
        compared = compare(options)
        _write_json(options, compared)
    markdown = tables.as_markdown(compared)
    print(f"\n{markdown}")
    drawn = charts.write(compared, options.charts) if options.charts is not None else []
    if options.document is not None:
        replace_table(options.document, _pictures(drawn, options.document) + markdown)
    return 1 if compared.failures else 0


def parse(arguments: List[str]) -> argparse.Namespace:
    names = [system.name for system in SYSTEMS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)}; without, all")
    parser.add_argument("--system", action="append", metavar="NAME", help=f"of {'; '.join(names)}; without, all")
    parser.add_argument("--quick", action="store_true", help="do less, for figures that scatter more")
    parser.add_argument("--tiny", action="store_true", help="do next to nothing: a test of the comparison itself")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how often everything is measured ({FULL.rounds})")
    parser.add_argument("--appendfsync", choices=("everysec", "always", "no"), default="everysec", help="Redis's")
    parser.add_argument("--folder", type=Path, help="on which disk to measure (where temporary files go)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the samples go (benchmarks/results/...)")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the tables between the two marks in FILE")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="write the charts into FOLDER")
    parser.add_argument("--show", type=Path, metavar="JSON", help="measure nothing: show an earlier run")
    options = parser.parse_args(arguments)
    for given, known in ((options.benchmarks, list(BENCHMARKS)), (options.system or [], names)):
        unknown = [name for name in given if name not in known]
        if unknown:
            parser.error(f"there is no {unknown[0]!r}; there is {'; '.join(known)}")
    return options


def compare(options: argparse.Namespace) -> Comparison:
    chosen = [system for system in SYSTEMS if options.system is None or system.name in options.system]
    kinds = [kind for kind in ("redis", "postgresql") if any(system.store == kind for system in chosen)]
    with tempfile.TemporaryDirectory(prefix="sqlite-job-compare-", dir=options.folder) as place:
        folder = Path(place)
        with servers.running(kinds, folder, options.appendfsync) as (running, reasons):
            runs, left_out = _make_runs(chosen, running, reasons, folder, sizes(options))
            facts = {**machine.describe(), **_facts(running), "kill limit": f"{sizes(options).kill_seconds:.0f}"}
            compared = Comparison(facts, [_describe(run.system, running) for run in runs], left_out)
            rounds.measure(compared, runs, options.benchmarks or list(BENCHMARKS), sizes(options))
    return compared


def sizes(options: argparse.Namespace) -> Sizes:
    chosen = TINY if options.tiny else QUICK if options.quick else FULL
    return chosen if options.rounds is None else chosen._replace(rounds=options.rounds)


def _make_runs(
    chosen: List[System], running: Dict[str, Server], reasons: Dict[str, str], folder: Path, size: Sizes
) -> Tuple[List[Run], Dict[str, str]]:
    runs: List[Run] = []
    left_out: Dict[str, str] = {}
    for number, system in enumerate(chosen):
        if system.store in reasons:
            left_out[system.name] = reasons[system.store]
            continue
        run = Run(system, _store(system, number, running, folder), folder, size)
        try:
            run.probe()
            runs.append(run)
        except ChildError as error:
            left_out[system.name] = str(error).strip().splitlines()[-1]
    for name, reason in left_out.items():
        print(f"LEFT OUT: {name}: {reason}", file=sys.stderr, flush=True)
    return runs, left_out


def _store(system: System, number: int, running: Dict[str, Server], folder: Path) -> str:
    """Return a store of its own: after a kill several systems wait at the same time."""
    if system.store == "redis":
        return f"{running['redis'].url}/{number}"
    if system.store == "postgresql":
        return f"{running['postgresql'].url}/compared_{number}"
    place = folder / f"{number}"
    place.mkdir()
    return str(place / "compared.db")


def _describe(system: System, running: Dict[str, Server]) -> Dict[str, Any]:
    facts = _facts(running)
    versions = [metadata.version(package) for package in system.packages[:1]]
    durability = system.durability.format(appendfsync=facts.get("appendfsync", ""))
    return {**system._asdict(), "durability": durability, "version": " ".join(versions)}


def _facts(running: Dict[str, Server]) -> Dict[str, str]:
    return {name: value for server in running.values() for name, value in server.facts.items()}


def _pictures(drawn: List[Path], document: Path) -> str:
    """Return links to charts as they are seen from a document; the one for the README shows nothing new."""
    shown = [path for path in drawn if path.name != charts.SUMMARY]
    links = [f"![{charts.title(path.name)}]({os.path.relpath(path, document.parent)})" for path in shown]
    return "".join(f"{link}\n\n" for link in links)


def _write_json(options: argparse.Namespace, compared: Comparison) -> None:
    path = options.json or RESULTS / f"compare_{datetime.now().astimezone():%Y-%m-%d_%H%M%S}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(compared.as_json(), encoding="utf-8")
    print(f"Every sample: {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
