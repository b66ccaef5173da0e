"""UCF101 and HMDB51 from their archives to the folders that `videowino.data` reads; re-encoding."""
