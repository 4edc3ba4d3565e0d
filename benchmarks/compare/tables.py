"""Write a comparison as Markdown: a table for each group of figures, how each system is set up, who is missing."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from benchmarks.compare.comparison import METRICS, Comparison, Metric

GROUPS: Dict[str, List[str]] = {
    "Jobs a second": ["enqueue", "enqueue_bulk", "drain", "drain_two", "io", "payload 2 kB", "payload 100 kB"],
    "Waiting, memory, disk": ["p50", "p99", "idle_cpu", "idle_mb", "busy_mb", "bytes"],
    "After a kill -9": ["kill_seconds", "kill_lost", "kill_held", "kill_twice"],
}

_METRICS = {metric.name: metric for metric in METRICS}


def as_markdown(compared: Comparison) -> str:
    groups = {title: _measured(names, compared) for title, names in GROUPS.items()}
    parts = [_group(title, names, compared) for title, names in groups.items() if names]
    parts += [_setups(compared), _wins(compared)]
    parts += [_missing(compared)] if compared.left_out or compared.failures else []
    facts = ", ".join(f"{name} {value}" for name, value in compared.machine.items() if value != "")
    return "\n\n".join([*parts, f"Measured: {facts}."]) + "\n"


def cell(values: Sequence[Optional[float]], metric: Metric, middle: Optional[float], limit: str) -> str:
    """Return the median and the range of some samples; without any, a dash."""
    if not values:
        return "-"
    if metric.name == "kill_seconds":
        ended = [value for value in values if value is not None]
        if middle is None:
            return f"not within {limit} s" + (f" ({len(ended)} of {len(values)} were)" if ended else "")
    known = [value for value in values if value is not None]
    if not known or middle is None:
        return "-"
    least, greatest = number(min(known), metric), number(max(known), metric)
    return number(middle, metric) + (f" ({least}-{greatest})" if least != greatest else "")


def number(value: float, metric: Metric) -> str:
    digits = 2 if metric.digits and 0 < abs(value) < 1 else metric.digits
    return f"{value:,.{digits}f}"


def _measured(names: List[str], compared: Comparison) -> List[str]:
    return [name for name in names if any(name in samples for samples in compared.samples.values())]


def _group(title: str, names: List[str], compared: Comparison) -> str:
    metrics = [_METRICS[name] for name in names]
    rows = [["", *(f"{metric.title}, {metric.unit}" for metric in metrics)]]
    best = {metric.name: compared.best(metric) for metric in metrics}
    limit = str(compared.machine.get("kill limit", ""))
    for system in compared.names:
        row = [f"{system}{_mark(system, compared)}"]
        for metric in metrics:
            values = compared.samples[system].get(metric.name, [])
            text = cell(values, metric, compared.middle(system, metric.name), limit)
            row.append(f"**{text}**" if system in best[metric.name] else text)
        rows.append(row)
    return f"### {title}\n\n{_table(rows)}"


def _setups(compared: Comparison) -> str:
    rows = [["", "durability", "set up as", "documented in", "note"]]
    for system in compared.systems:
        page = str(system["documentation"])
        link = f"[page]({page})" if page.startswith("http") else f"[page](../../{page})"
        rows.append(
            [
                f"{system['name']} {system['version']}",
                system["durability"],
                system["setup"],
                link,
                "; ".join(system["marks"]),
            ]
        )
    return f"### How each is set up\n\n{_table(rows)}"


def _wins(compared: Comparison) -> str:
    """Say where somebody else is best, so that nobody has to look for it."""
    lines = []
    for metric in METRICS:
        best = compared.best(metric)
        if best and not any(name.startswith("sqlite-job") for name in best):
            lines.append(f"- {metric.title}: {', '.join(best)}")
    if not lines:
        return "### Where another one is best\n\nNowhere in this run."
    return "### Where another one is best\n\n" + "\n".join(lines)


def _missing(compared: Comparison) -> str:
    lines = [f"- {name} was left out: {reason}" for name, reason in compared.left_out.items()]
    lines += [
        f"- {one.system}, {one.benchmark}: a sample is missing: {_first(one.message)}" for one in compared.failures
    ]
    return "### Missing\n\n" + "\n".join(lines)


def _mark(system: str, compared: Comparison) -> str:
    marks = next(each["marks"] for each in compared.systems if each["name"] == system)
    return " \\*" if marks else ""


def _first(message: str) -> str:
    return next((line for line in message.splitlines() if line.strip()), message)[:200]


def _table(rows: List[List[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
