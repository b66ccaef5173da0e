"""`CleanStop`: Ctrl-C, SIGTERM and a preempted SLURM job end a training where it can go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from videowino.training.processes import largest_of_processes
from videowino.training.say import say

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_HURRY = b"\nstopping after this step, with a checkpoint; once more stops at once, without one\n"


class CleanStop(pl.Callback):
    """Lets the step that is being taken end, saves a checkpoint, says how to go on, and stops.

    Signals only leave a note, so that no weights are saved that are half updated. Processes agree
    on the step to stop after, whichever of them was asked. A second Ctrl-C stops at once; the last
    checkpoint is then what there is. While a network is validated, the note waits.

    In a SLURM job, SIGTERM and SIGUSR1 (`#SBATCH --signal=USR1@120`) have the job requeued.

    Args:
        checkpoint: file to save; None saves nothing.
        go_on: command that goes on with the run.
    """

    def __init__(self, checkpoint: Path | None = None, go_on: str = "") -> None:
        self.checkpoint, self.go_on = checkpoint, go_on
        self._asked = 0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, instead of Lightning, which has begun to before."""
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        numbers += [signal.SIGUSR1] if _slurm_job() else []
        self._handlers = {number: signal.signal(number, self._note) for number in numbers}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen no more."""
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Listen no more."""
        self._restore()

    def _restore(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = self._asked or number
        if number == signal.SIGINT:
            os.write(2, _HURRY)  # print may be in the middle of a line

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop, if a process was asked to.

        Raises:
            SystemExit: with 128 and the signal's number.
        """
        asked = largest_of_processes(trainer, self._asked)
        if not asked:
            return
        what = f"{_NAMES.get(signal.Signals(asked), signal.Signals(asked).name)}: stopped after "
        what += f"step {trainer.global_step}"
        if self.checkpoint is not None:
            trainer.save_checkpoint(self.checkpoint)
            what += f", which {self.checkpoint} holds. Go on with:\n  {self.go_on}"
        trainer._logger_connector.update_train_step_metrics()  # Lightning would after this hook
        say(trainer, what)
        if asked != signal.SIGINT and trainer.is_global_zero and (job := _slurm_job()):
            say(trainer, _requeue(job))
        raise SystemExit(128 + asked)


def _slurm_job() -> str | None:
    """The number of the job that this is, with its place where it is one of an array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def _requeue(job: str) -> str:
    if shutil.which("scontrol") is None:
        return f"job {job} is not requeued: there is no scontrol here"
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if done.returncode:
        return f"job {job} is not requeued: {done.stderr.strip()}"
    return f"job {job} is requeued"
