"""Move a queue from one database to another: `sqlite-job move`."""
