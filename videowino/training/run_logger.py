"""metrics.csv of a run folder, which survives a killed process and its resume."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter
from pytorch_lightning.utilities.rank_zero import rank_zero_only


class RunLogger(CSVLogger):
    """Lightning's CSVLogger, writing `<folder>/metrics.csv` and continuing one that is there.

    Lightning's own deletes the file of an earlier process. Here the rows stay, except those from
    the first logged step on: a process that was killed after its last checkpoint has logged steps
    that the resumed one takes again. Every row is on disk at once.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=1)

    @property
    def log_dir(self) -> str:
        """The run folder."""
        return self.save_dir

    @property
    def experiment(self) -> ExperimentWriter:
        """Writes the file; made on first use, and only in the first process."""
        if self._experiment is None and rank_zero_only.rank == 0:
            self._experiment = _Continuing(self.log_dir)
        return super().experiment  # type: ignore[return-value]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""


class _Continuing(ExperimentWriter):
    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self._cut = False

    def _check_log_dir_exists(self) -> None:
        pass  # which would delete the file

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        if not self._cut:
            self._cut = True
            self._keep_rows_before(step or 0)
        super().log_metrics(metrics_dict, step)

    def _keep_rows_before(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            self.metrics_keys = list(reader.fieldnames or [])
        kept = [row for row in rows if (row["step"] or "").isdigit() and int(row["step"]) < step]
        if len(kept) < len(rows) or not kept:
            path.unlink()
            self.metrics, self.metrics_keys = kept, []  # type: ignore[assignment]
            self.save()
