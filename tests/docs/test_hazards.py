"""Compare docs/explanation/sqlite-hazards.md with the code: the tests and modules that it names are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.documents import ROOT

TEXT = (ROOT / "docs" / "explanation" / "sqlite-hazards.md").read_text(encoding="utf-8")
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
SOURCES = ROOT / "src" / "sqlite_job"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", TEXT))))
def test_every_test_that_is_named_exists(name):
    assert f"def {name}(" in TESTS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:storage|engine|tests)/[\w/]+\.py)`", TEXT))))
def test_every_module_that_is_named_exists(path):
    assert (ROOT / path).exists() or (SOURCES / path).exists()


@pytest.mark.parametrize(("name", "path"), sorted(set(re.findall(r"`(_?[a-z]\w+)` in `(\w+/[\w/]+\.py)`", TEXT))))
def test_every_function_that_is_named_stands_where_it_says(name, path):
    source = (SOURCES / path).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(def )?{name}\b", source, re.MULTILINE) or f'"{name}"' in source


@pytest.mark.parametrize("section", re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:-1], ids=lambda text: text[:20])
def test_every_hazard_has_its_remedy_its_place_and_its_test(section):
    parts = ("**Hazard.**", "**What we do.**", "- Code: ", "- Test: ")
    assert [part for part in parts if part not in section] == []
