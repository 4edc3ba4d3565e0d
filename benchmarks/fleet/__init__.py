"""What 1,000 workers and 100 million jobs a day would ask of one PostgreSQL server: a model, and what it stands on."""
