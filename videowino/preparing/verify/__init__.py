"""Whether a set's files and lists are sound: found, listed, and mended where that is possible."""
