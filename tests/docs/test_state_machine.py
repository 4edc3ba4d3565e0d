from __future__ import annotations

from typing import Dict, List, Tuple

from sqlite_job.core.states import FINAL, TRANSITIONS, JobStatus
from tests.docs.documents import ROOT, blocks

ARCHITECTURE = ROOT / "ARCHITECTURE.md"
MEND = "ARCHITECTURE.md differs from core/states.py; put this in its place:\n\n"


def test_the_diagram_in_architecture_is_the_state_machine():
    (shown,) = (block.text for block in blocks(ARCHITECTURE) if block.language == "mermaid")

    assert shown == diagram(), MEND + diagram()


def test_the_table_in_architecture_is_the_state_machine():
    assert table() in ARCHITECTURE.read_text(encoding="utf-8"), MEND + table()


def test_architecture_is_short_enough_to_be_read():
    assert len(ARCHITECTURE.read_text(encoding="utf-8").splitlines()) < 150


def diagram() -> str:
    """Return the Mermaid diagram: an arrow for each pair of states, with the verbs that lead along it."""
    arrows: Dict[Tuple[str, str], List[str]] = {}
    for verb, (sources, targets) in TRANSITIONS.items():
        for source in in_order(sources) or ["[*]"]:
            for target in in_order(targets) or ["[*]"]:
                arrows.setdefault((source, target), []).append(verb)
    lines = [f"    {source} --> {target}: {' / '.join(verbs)}" for (source, target), verbs in arrows.items()]
    return "\n".join(["stateDiagram-v2", *lines]) + "\n"


def table() -> str:
    """Return the Markdown table: a row for each verb."""
    rows = [
        f"| {verb} | {listed(sources, 'nothing')} | {listed(targets, 'gone')} |"
        for verb, (sources, targets) in TRANSITIONS.items()
    ]
    return "\n".join(["| verb | from | to |", "|---|---|---|", *rows]) + "\n"


def listed(statuses: object, nothing: str) -> str:
    found = in_order(statuses)
    if set(found) == {str(status) for status in FINAL}:
        return "any final: " + ", ".join(found)
    return ", ".join(found) or nothing


def in_order(statuses: object) -> List[str]:
    return [str(status) for status in JobStatus if status in statuses]
