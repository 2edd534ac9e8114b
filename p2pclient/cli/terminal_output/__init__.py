"""Lines, columns and progress bars on a terminal."""
