"""Keep jobs in a database: the only room that knows SQLAlchemy, SQL and the drivers."""
