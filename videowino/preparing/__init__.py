"""Data sets made ready for training: what the scripts of `datasets/` do."""
