"""Test jobs, and the queue itself."""
