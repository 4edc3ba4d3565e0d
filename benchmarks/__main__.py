"""Run benchmarks, print a table, and write every sample as JSON.

usage: python -m benchmarks [NAME...] [--quick] [--repeat N] [--json FILE] [--document FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Callable, Dict, Iterator, List

from rich.live import Live

from benchmarks import drain, enqueue, footprint, growth, latency, machine, postgres, report, retention, workers
from benchmarks.figures import Figure
from benchmarks.sizes import FULL, QUICK, TINY, Sizes

BENCHMARKS: Dict[str, Callable[[Sizes, Path], Iterator[Figure]]] = {
    "enqueue": enqueue.measure,
    "drain": drain.measure,
    "workers": workers.measure,
    "latency": latency.measure,
    "footprint": footprint.measure,
    "growth": growth.measure,
    "retention": retention.measure,
    "postgres": postgres.measure,
}

RESULTS = Path(__file__).parent / "results"

# From here on a benchmark, which needs one CPU or two, has to wait for its turn on a small machine.
_BUSY = 0.5

# In a document, the table stands between these two lines.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main(arguments: List[str]) -> None:
    options = parse(arguments)
    facts = machine.describe()
    figures: List[Figure] = []
    console, table = report.make_console(), report.make_table()
    if machine.load() > _BUSY:
        console.print(f"Others use this machine (load {machine.load():.1f}): the figures will scatter.", style="yellow")
    with Live(table, console=console), tempfile.TemporaryDirectory(
        prefix="sqlite-job-bench-", dir=options.folder
    ) as place:
        for name in options.names or BENCHMARKS:
            for figure in BENCHMARKS[name](sizes(options), Path(place)):
                figures.append(figure)
                table.add_row(*report.cells(figure))
    console.print()
    written = write_json(options.json, report.as_json(figures, facts))
    console.print(f"Every sample: {written}", style="dim", soft_wrap=True)
    if options.document is not None:
        replace_table(options.document, report.as_markdown(figures, facts))


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(BENCHMARKS)}; without, all")
    parser.add_argument("--quick", action="store_true", help="do less, for figures that scatter more")
    parser.add_argument("--tiny", action="store_true", help="do next to nothing: a test of the benchmarks themselves")
    parser.add_argument("--repeat", type=int, metavar="N", help="how often everything is measured (3)")
    parser.add_argument("--jobs", type=int, metavar="N", help=f"how many jobs are drained ({FULL.drain:,})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the samples go (benchmarks/results/...)")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table between the two marks in FILE")
    parser.add_argument("--folder", metavar="FOLDER", help="on which disk to measure (where temporary files go)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark named {unknown[0]!r}; there is {', '.join(BENCHMARKS)}")
    return options


def sizes(options: argparse.Namespace) -> Sizes:
    chosen = TINY if options.tiny else QUICK if options.quick else FULL
    if options.repeat is not None:
        chosen = chosen._replace(repeat=options.repeat)
    return chosen if options.jobs is None else chosen._replace(drain=options.jobs)


def write_json(path: Path, text: str) -> Path:
    if path is None:
        path = RESULTS / f"{datetime.now().astimezone():%Y-%m-%d_%H%M%S}.json"
        path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def replace_table(path: Path, table: str) -> None:
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path} has no place for the table: the lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
