"""Files that are changed at random, and what reads them: ``python -m fuzz`` (docs/security.md)."""
