"""Making data sets ready: what the scripts in `datasets/` do."""
