"""Tell people and programs what happens: subscribers to events. Nothing of the queue depends on this room."""
