"""Hold every SQL statement as a named Core constant, one file for each noun; only this room writes a status."""
