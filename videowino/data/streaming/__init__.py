"""Clips read from tar shards, on this machine or over HTTP; written by `videowino.preparing`."""
