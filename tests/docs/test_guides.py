from __future__ import annotations

import re
import socket

import pytest

from sqlite_job.cli.program import program
from tests.docs.documents import ROOT, Reader, blocks, documents

# What a guide shows besides ourselves; the extra dev installs it.
NEEDS = {
    "enqueue-in-your-transaction": ("aiosqlite", "django", "fastapi", "flask_sqlalchemy", "greenlet", "httpx"),
}

GUIDES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]

# What a guide shows besides this package; it is not needed by anything else, so it may be missing.
SHOWN = {"report-errors-and-trace-jobs": ("opentelemetry.sdk", "sentry_sdk")}

# The variables of a guide that have the URL of a PostgreSQL database.
SCHEMAS = {"outgrow-one-machine": ("JOBS_URL", "TRIAL")}


@pytest.fixture(autouse=True)
def _free_port(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORT", str(probe.getsockname()[1]))


@pytest.fixture(autouse=True)
def _server(request, monkeypatch):
    """Give the guides that need one a server, and an empty schema of it in each variable that they name."""
    guide = request.node.callspec.params.get("guide")
    for name in SCHEMAS.get(guide.stem, ()) if guide is not None else ():
        monkeypatch.setenv(name, f"{request.getfixturevalue('empty_postgres_url')}?schema={name.lower()}")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_reader_who_follows_the_guide_sees_what_it_shows(guide, tmp_path):
    for module in SHOWN.get(guide.stem, ()):
        pytest.importorskip(module, reason=f"{module} IS NOT INSTALLED, so {guide.name} is not tested: '.[dev]' has it")
    for name in NEEDS.get(guide.stem, ()):
        pytest.importorskip(name, reason=f"{guide.name} uses {name}: pip install -e '.[dev]'")
    Reader(tmp_path).follow(guide)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_block_of_a_guide_says_what_it_is(guide):
    known = {"python", "console", "bash", "ini", "dockerfile", "text"}

    assert [block.line for block in blocks(guide) if block.language not in known] == []


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.stem)
def test_commands_that_are_only_shown_exist(document):
    """Bash blocks, unit files and Dockerfiles are not run; what they call must be there nevertheless."""
    shown = [block for block in blocks(document) if block.language in {"bash", "ini", "dockerfile"}]
    for block in shown:
        for command, options in commands_of_ours(block.text):
            found = program.commands.get(command)
            assert found is not None, f"{document.name}:{block.line}: there is no sqlite-job {command}"
            known = {option for parameter in found.params for option in parameter.opts}
            assert options <= known, f"{document.name}:{block.line}: sqlite-job {command} has no {options - known}"


def commands_of_ours(text):
    """Yield each command of `sqlite-job` in a text, with its long options."""
    plain = re.sub(r'[\[\]",]', " ", text)
    for line in plain.splitlines():
        for match in re.finditer(r"sqlite-job +([a-z]+)([^|#]*)", line):
            yield match[1], set(re.findall(r"--[a-z-]+", match[2]))
