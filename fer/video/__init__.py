"""Videos and cameras: sources, tracking, the live session, window and recording."""
