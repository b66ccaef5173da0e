"""One training in one process and in several: the same, and how much faster."""
