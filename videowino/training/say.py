"""Lines that stay when the progress bar has gone."""

from __future__ import annotations

import pytorch_lightning as pl


def say(trainer: pl.Trainer, line: str) -> None:
    """Print a line, above the progress bar where there is one; in the first process only."""
    if not trainer.is_global_zero:
        return
    bar = trainer.progress_bar_callback
    if bar is None:
        print(line, flush=True)
    else:
        bar.print(line)
