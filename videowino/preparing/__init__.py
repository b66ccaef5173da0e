"""UCF101 and HMDB51 from their archives to folders of clips; re-encoding, verifying, shards."""
