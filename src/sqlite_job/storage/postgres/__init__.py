"""Keep jobs in a PostgreSQL database: what differs from a file. Only this room knows psycopg."""
