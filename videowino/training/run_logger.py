"""metrics.csv of a run folder, which survives a killed process and its resume."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter

from videowino.files import replacing, writing


class RunLogger(CSVLogger):
    """Lightning's CSVLogger, writing `<folder>/metrics.csv` and continuing one that is there.

    Lightning's own deletes the file of an earlier process, and writes a hundred rows at a time;
    here every row is on disk at once.

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
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """Writes the file; made on first use."""
        if self._experiment is None:
            self._experiment = ContinuingWriter(self.log_dir)
        return self._experiment  # type: ignore[return-value]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""


class ContinuingWriter(ExperimentWriter):
    """Rows of a CSV file that an earlier process may have begun.

    The first row says from which step on this process writes; older rows from there on are
    dropped, as a process that was killed after its last checkpoint has logged steps that the
    resumed one takes again.

    Args:
        folder: where the file is.
        name: of the file.
    """

    def __init__(self, folder: str | Path, name: str = ExperimentWriter.NAME_METRICS_FILE) -> None:
        super().__init__(str(folder))
        self.metrics_file_path = str(Path(folder) / name)
        self._cut = False

    def _check_log_dir_exists(self) -> None:
        pass  # which would delete the file

    def log_metrics(self, metrics_dict: dict[str, Any], step: int | None = None) -> None:
        """Record one row; `save` writes it."""
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
        if len(kept) < len(rows):
            self._replace(kept)

    def save(self) -> None:
        """Write the recorded rows; the file is as it was if that fails.

        Raises:
            OSError: it cannot be written.
        """
        path = Path(self.metrics_file_path)
        size = path.stat().st_size if path.is_file() else None
        try:
            with writing(path):
                super().save()
        except OSError:
            self.metrics = []  # which the end of the training would write again
            if size is not None and path.stat().st_size > size:
                os.truncate(path, size)
            raise

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with Path(self.metrics_file_path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        self._replace(rows)

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        with replacing(Path(self.metrics_file_path)) as new, new.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
