"""Hold what every test needs."""

from __future__ import annotations

import os

from hypothesis import settings

# A machine that is busy with other tests is no reason to fail an example for being slow.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# A server is started by the first test that asks for one.
pytest_plugins = ["tests.postgres.fixtures", "tests.databases"]

# No test may reach the database of whoever runs it.
os.environ.pop("SQLITE_JOB_DATABASE", None)
