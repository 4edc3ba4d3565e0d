from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, Set, Tuple

import pytest

from tests.docs.documents import ROOT, documents

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("https://", "http://", "mailto:")


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    broken = [f"line {line}: {target}" for line, target in links(document) if not leads_somewhere(document, target)]

    assert broken == []


def test_every_document_can_be_reached_from_the_readme():
    found: Set[Path] = set()
    to_visit = [ROOT / "README.md"]
    while to_visit:
        document = to_visit.pop()
        if document not in found and document.is_file():
            found.add(document)
            to_visit += [
                resolved(document, target) for _, target in links(document) if target.split("#")[0].endswith(".md")
            ]

    assert sorted(set(documents()) - found) == []


def links(document: Path) -> Iterator[Tuple[int, str]]:
    """Yield what a document links to inside of the project, with the line; what stands in code is no link."""
    text = CODE_BLOCK.sub(lambda match: "\n" * match[0].count("\n"), document.read_text(encoding="utf-8"))
    text = re.sub(r"`[^`\n]*`", "code", text)
    for match in LINK.finditer(text):
        if not match[1].startswith(ELSEWHERE):
            yield text.count("\n", 0, match.start()) + 1, match[1]


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = resolved(document, target) if path else document
    if not found.exists():
        return False
    return not anchor or anchor in anchors(found)


def resolved(document: Path, target: str) -> Path:
    return (document.parent / target.partition("#")[0]).resolve()


def anchors(document: Path) -> Set[str]:
    """Return the anchors that GitHub gives to headings."""
    text = CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_are_made_as_github_makes_them(tmp_path):
    document = tmp_path / "a.md"
    document.write_text("# One, `two` and: three!\n\n```bash\n# not this\n```\n\n## with_options (new)\n")

    assert anchors(document) == {"one-two-and-three", "with_options-new"}
