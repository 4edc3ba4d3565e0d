"""Draw a comparison as SVG: bars with their ranges, readable on a light page and on a dark one."""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Optional
from xml.sax.saxutils import escape

from benchmarks.compare.comparison import METRICS, Comparison, Metric
from benchmarks.compare.tables import number

_METRICS = {metric.name: metric for metric in METRICS}

_WIDTH, _LABEL, _VALUE = 760, 170, 130
_ROW, _BAR, _HEAD, _GAP = 22, 14, 34, 18

# The page's own background shows through; these are read on white and on black.
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .title { font-size: 14px; font-weight: 600; fill: #24292f }
  .ours { font-weight: 600; fill: #24292f }
  .bar { fill: #8c959f } .bar.ours { fill: #1a7f64 }
  .range { stroke: #57606a; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .title, text.ours { fill: #f0f6fc }
    .bar { fill: #6e7681 } .bar.ours { fill: #2ea98a } .range { stroke: #c9d1d9 }
  }
"""

# For the README.
SUMMARY = "compare.svg"

CHARTS = {
    "compare-throughput.svg": ["enqueue", "enqueue_bulk", "drain", "drain_two"],
    "compare-work.svg": ["io", "payload 2 kB", "payload 100 kB"],
    "compare-waiting.svg": ["p50", "p99", "idle_cpu", "idle_mb"],
    "compare-kill.svg": ["kill_seconds"],
    SUMMARY: ["drain", "p99", "kill_seconds"],
}


class Bar(NamedTuple):
    """`value` is None for who did not end."""

    name: str
    value: Optional[float]
    least: float
    greatest: float


def write(compared: Comparison, folder: Path) -> List[Path]:
    """Write every chart of which there are figures."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, metrics in CHARTS.items():
        drawn = draw(compared, metrics)
        if drawn:
            (folder / name).write_text(drawn, encoding="utf-8")
            written.append(folder / name)
    return written


def title(name: str) -> str:
    """Return what a chart shows, for those who do not see it."""
    return "; ".join(_METRICS[metric].title for metric in CHARTS[name])


def draw(compared: Comparison, metrics: List[str]) -> str:
    """Return one picture of several figures under each other, or an empty text if none was measured."""
    panels: List[str] = []
    top = 0
    for name in metrics:
        bars = _bars(compared, _METRICS[name])
        if bars:
            panels += _panel(_METRICS[name], bars, top, str(compared.machine.get("kill limit", "")))
            top += _HEAD + len(bars) * _ROW + _GAP
    if not panels:
        return ""
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    titles = "; ".join(_METRICS[name].title for name in metrics)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(titles)}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *panels, "</svg>", ""])


def _bars(compared: Comparison, metric: Metric) -> List[Bar]:
    bars = []
    for name in compared.names:
        values = compared.samples[name].get(metric.name, [])
        known = [value for value in values if value is not None] or [0.0]
        if values:
            bars.append(Bar(name, compared.middle(name, metric.name), min(known), max(known)))
    never = float("-inf") if metric.is_more_better else float("inf")
    return sorted(bars, key=lambda bar: never if bar.value is None else bar.value, reverse=metric.is_more_better)


def _panel(metric: Metric, bars: List[Bar], top: int, limit: str) -> List[str]:
    direction = "more is better" if metric.is_more_better else "less is better"
    title = f"{metric.title} ({metric.unit}, {direction})"
    lines = [f'<text class="title" x="0" y="{top + 18}">{escape(title)}</text>']
    known = [bar.greatest for bar in bars if bar.value is not None]
    scale = (_WIDTH - _LABEL - _VALUE) / (max(known, default=0) or 1)
    for row, bar in enumerate(bars):
        lines += _row(bar, metric, top + _HEAD + row * _ROW, scale, limit)
    return lines


def _row(bar: Bar, metric: Metric, top: int, scale: float, limit: str) -> List[str]:
    ours = " ours" if bar.name.startswith("sqlite-job") else ""
    middle = top + _BAR / 2
    name = f'<text class="name{ours}" x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.name)}</text>'
    if bar.value is None:
        return [name, f'<text x="{_LABEL}" y="{middle + 4}">not within {limit} s</text>']
    wide, least, greatest = (max(each * scale, 1) for each in (bar.value, bar.least, bar.greatest))
    after = _LABEL + max(wide, greatest) + 6
    lines = [
        name,
        f'<rect class="bar{ours}" x="{_LABEL}" y="{top}" width="{wide:.1f}" height="{_BAR}" rx="2"/>',
        f'<text class="value{ours}" x="{after:.1f}" y="{middle + 4}">{number(bar.value, metric)}</text>',
    ]
    if bar.least != bar.greatest:
        ends = f'x1="{_LABEL + least:.1f}" x2="{_LABEL + greatest:.1f}" y1="{middle}" y2="{middle}"'
        lines.append(f'<line class="range" {ends}/>')
    return lines
