"""Measure sqlite_job and other job queues doing the same work, in turns, on one machine."""

from __future__ import annotations
