"""What columns, ranks and tiles cost in accuracy and bring in time, against rivals."""
