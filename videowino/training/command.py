"""The command line of `train.py`: LightningCLI with run folders and one-line errors."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jsonargparse import Namespace
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.rank_zero import rank_zero_only

import videowino.callbacks
import videowino.data
from videowino.callbacks import (
    EMA,
    ColumnSparsity,
    Distillation,
    FiniteSteps,
    SpeedupLogger,
    WandbColumns,
    WandbMetrics,
    WandbModel,
    WandbPredictions,
)
from videowino.callbacks.standard import standard_callbacks
from videowino.cli import explain, import_modules, option_names, require, see_working_folder
from videowino.data import VideoDataModule
from videowino.files import replacing
from videowino.training.callback_options import (
    add_column_options,
    as_list,
    refuse_twice,
    set_columns_to_keep,
)
from videowino.training.checkpoint import read_checkpoint
from videowino.training.classifier import VideoClassifier
from videowino.training.config_file import check_config_file
from videowino.training.hyperparameters import check_same_network, take_ranks
from videowino.training.named_errors import instantiators
from videowino.training.orphans import end_with_launcher
from videowino.training.predictions import of_all_processes, prediction_rows, write_csv
from videowino.training.run_folder import (
    CONFIG,
    clear,
    configs,
    find_checkpoint,
    held,
    holds_run,
    new_folder,
    with_config_of_run,
)
from videowino.training.run_record import record_start
from videowino.training.trainer_options import (
    as_many_as_launched,
    fit_errors,
    refuse_sharding,
    trainer_errors,
)
from videowino.training.trainer_parts import loggers, plugins
from videowino.training.wandb_run import heed_wandb_mode, is_wandb, settle_wandb

_PARSER = {"exit_on_error": False, "allow_abbrev": False}
_CLASSES = [
    f"{part.__name__}.{name}"
    for part in (videowino.callbacks, videowino.data)
    for name in part.__all__
]
_ONLY_IN_TRAINING = (
    *(ColumnSparsity, Distillation, EMA, FiniteSteps, SpeedupLogger),
    *(WandbColumns, WandbMetrics, WandbModel, WandbPredictions),
)
# Settings for which nobody needs to know a Lightning warning.
_SILENCED = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*exists and is not empty.*",
    "Total length of .* across ranks is zero.*",
    ".*your dataloader is not resumable.*",  # the data module's goes on where it was
    ".*callbacks used to create the checkpoint need to be provided.*",
    "The dirpath has changed from.*",  # a run folder can be moved
    "Grad strides do not match bucket view strides.*",  # of 1x1x1 filters, channels last
    "torch.distributed.nn.functional.all_gather is deprecated.*",  # torchmetrics' affair
)


class TrainCLI(LightningCLI):
    """fit, validate, test and predict with a `VideoClassifier` on a `VideoDataModule`.

    A `fit` writes to a run folder: config.yaml, metrics.csv and checkpoints/last.ckpt.

    Args:
        args: command line; that of the process if None.

    Raises:
        ValueError, FileNotFoundError: bad input, in one line.
    """

    subcommand: str
    checkpoint: dict[str, Any] | None = None  # what it tells of the run that goes on

    def __init__(self, args: list[str] | None = None) -> None:
        for name in ("pytorch_lightning", "lightning_fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        for pattern in _SILENCED:
            warnings.filterwarnings("ignore", pattern)
        see_working_folder()
        end_with_launcher()
        self.args = sys.argv[1:] if args is None else args
        try:
            self._run()
        finally:
            # Left to the interpreter's end, threads of the group may abort a process that is done.
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()

    def _run(self) -> None:
        try:
            self._do()
        except SystemExit as ended:  # with 1, in which Lightning hides a Ctrl-C
            if isinstance(ended.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise

    def _do(self) -> None:
        super().__init__(
            VideoClassifier,
            VideoDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            trainer_defaults={"log_every_n_steps": 10, "enable_model_summary": False},
            parser_kwargs=_PARSER | {name: dict(_PARSER) for name in self.subcommands()},
            save_config_callback=None,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=with_config_of_run(self.args),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options beside model, data and trainer."""
        parser.add_argument(
            "--run",
            type=str | None,
            help="Run folder; runs/<backbone>-<time> if not given. With --ckpt_path last and no "
            "--config, the run's own config.yaml is used.",
        )
        parser.add_argument(
            "--import",
            type=str | list[str] | None,
            help="Module to import first, or [several], that registers backbones of your own.",
        )
        parser.add_argument(
            "--checkpoint_every",
            type=int | None,
            help="Write checkpoints/last.ckpt every so many steps, not only after each epoch.",
        )
        add_column_options(parser)
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, with the nearest name for an unknown one."""
        for path in configs(args):
            check_config_file(path)
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            named = next((a for a in args if a in self._subcommand_parsers), None)
            known = option_names(self._subcommand_parsers[named] if named else parser)
            raise ValueError(explain(str(error), known, _CLASSES)) from error
        config = self.config[self.config.subcommand]
        seed = config.seed_everything
        require(seed is False or seed >= 0, f"seed_everything={seed}: 0 or more, or false for none")
        import_modules(config["import"])

    def _parse_ckpt_path(self) -> None:
        """Lightning would take the model's settings from the checkpoint; here the config rules."""

    def before_instantiate_classes(self) -> None:
        """Settle the run folder and the checkpoint."""
        config = self.config[self.subcommand]
        for part in ("trainer", "model", "data"):
            given = config[part]
            require(isinstance(given, Namespace), f"{part}={given}: expected keys and values")
        require(
            config.data.class_path.rpartition(".")[2] != VideoDataModule.__name__,
            f"data.class_path={config.data.class_path}: is what data sets are made of; give one, "
            "as videowino.data.VideoFolder",
        )
        fit = self.subcommand == "fit"
        dry = bool(config.trainer.fast_dev_run)
        self.run = Path(config.run) if config.run else new_folder(config.model.backbone)
        require(not self.run.is_file(), f"run={self.run}: is a file; give a folder")
        self.writes = not dry and (fit or config.run is not None)
        if fit:
            refuse_twice(config.trainer, _ONLY_IN_TRAINING)
        set_columns_to_keep(config)
        asked, self.weights = config.ckpt_path, config.model.weights
        config.ckpt_path = find_checkpoint(asked, self.run, self.subcommand)
        if config.ckpt_path is not None:
            # Lightning would not say what is wrong with it.
            found = read_checkpoint(config.ckpt_path)
            self.checkpoint = {key: found.get(key) for key in ("hyper_parameters", "global_step")}
            config.model.weights = None  # all weights come from the checkpoint
            take_ranks(config.model, found)
        elif asked is not None:
            say = rank_zero_only(print)
            say(f"run={self.run}: holds no checkpoint yet, starting from the beginning")
        elif not fit and config.model.weights is None:
            warnings.warn(
                "the network has random weights, so what it finds means nothing; give --ckpt_path, "
                "or --model.weights",
                stacklevel=2,
            )
        elif fit and self.writes and holds_run(self.run):
            raise ValueError(
                f"run={self.run}: already holds a run; continue it with --ckpt_path last, or "
                "choose another folder"
            )
        self.logger = deepcopy(config.trainer.logger)
        # The run's config.yaml keeps what is left out: whoever goes on may want it again.
        config.trainer.logger = heed_wandb_mode(config.trainer.logger)
        for logger in as_list(config.trainer.logger):
            if is_wandb(logger):
                settle_wandb(logger.init_args, self.run, fit and config.ckpt_path is not None)

    def instantiate_classes(self) -> None:
        """As Lightning does, with full names in errors."""
        self.config_init = self.parser.instantiate(self.config, instantiators=instantiators())
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer with the run's logger, checkpoints and progress."""
        options = dict(self._get(self.config_init, "trainer"))
        callbacks = as_list(options.pop("callbacks"))
        if self.subcommand == "fit":
            if not any(isinstance(c, FiniteSteps) for c in callbacks):
                callbacks.append(FiniteSteps())  # behind what reads gradients
            config = self.config[self.subcommand]
            callbacks += standard_callbacks(
                self.run,
                options,
                writes=self.writes,
                seed=config.seed_everything,
                checkpoint_every=config.checkpoint_every,
            )
        else:
            callbacks = [c for c in callbacks if not isinstance(c, _ONLY_IN_TRAINING)]
            options["enable_checkpointing"] = False
        if options["enable_progress_bar"] is not False and sys.stdout.isatty():
            callbacks.append(RichProgressBar())
        else:
            options["enable_progress_bar"] = False
        if self.subcommand == "fit":
            options["plugins"] = plugins(options)
        folder = self.run if self.subcommand == "fit" else self.run / self.subcommand
        options["logger"] = loggers(folder, options["logger"]) if self.writes else False
        options["default_root_dir"] = options["default_root_dir"] or str(self.run)
        refuse_sharding(options["strategy"])
        as_many_as_launched(options)
        with trainer_errors(options):
            return pl.Trainer(**options, callbacks=callbacks)

    def fit(self, **options: Any) -> None:
        """Train, with the run folder held against other trainings.

        Raises:
            ValueError: the checkpoint is of another network, or the folder is another training's.
        """
        if self.checkpoint is not None:
            path = self.config[self.subcommand].ckpt_path
            check_same_network(self.checkpoint, dict(self.model.hparams), path)
        with ExitStack() as until_done:
            if self.writes and self.trainer.is_global_zero:
                until_done.enter_context(held(self.run))
            self._open_run()
            until_done.enter_context(fit_errors())
            self.trainer.fit(**options)

    def _open_run(self) -> None:
        """Save the configuration, and say what is about to train."""
        config = self.config[self.subcommand]
        if not self.trainer.is_global_zero:
            return
        if self.writes:
            if self.checkpoint is None:
                clear(self.run)
            self._save_config(config)
            goes_on = self.checkpoint is not None
            record_start(self.run, self.args, config.seed_everything, goes_on)
            print(f"run folder: {self.run}", flush=True)
        if config.ckpt_path is not None:
            print(f"continuing from {config.ckpt_path}", flush=True)
        if (swap := self.model.conversion) is not None:
            print(
                f"{len(swap.swapped)} of {len(swap.layers)} convolutions are Winograd convolutions "
                f"({config.model.winograd.parameterization})",
                flush=True,
            )

    def _save_config(self, config: Namespace) -> None:
        """What the run is now trained with; a later --ckpt_path last goes on with it."""
        own = config.clone()
        own.run = own.ckpt_path = None  # a run can be moved, and started anew
        own.model.weights = self.weights
        own.trainer.logger = self.logger  # without what is of this folder
        parser = self._subcommand_parsers[self.subcommand]
        with replacing(self.run / CONFIG) as new:
            parser.save(own, new, skip_unset=False, overwrite=True)

    def after_fit(self) -> None:
        """Say what could not be read, if there was nothing to train, and what a profiler found."""
        self._say_bad("fit", "validate")  # which all processes gather
        if not self.trainer.is_global_zero:
            return
        step = self.trainer.global_step
        if self.checkpoint is not None and self.checkpoint.get("global_step") == step:
            print(
                f"nothing to do: the run has made all of its {step} steps; to train on, raise "
                "--trainer.max_epochs (or max_steps)",
                flush=True,
            )
        profiler = self.trainer.profiler  # type: ignore[attr-defined]
        if summary := profiler.summary():
            print(summary, flush=True)

    def after_validate(self) -> None:
        """Say how many videos could not be read."""
        self._say_bad("validate")

    def after_test(self) -> None:
        """Say how many videos could not be read."""
        self._say_bad("test")

    def _say_bad(self, *stages: str) -> None:
        for stage in stages:
            bad = self.datamodule.bad_videos(stage).of_all_processes()
            if bad.reasons and self.trainer.is_global_zero:
                print(bad, flush=True)

    def predict(self, **options: Any) -> None:
        """Write the classes of the test videos to predictions.csv, or print them without --run."""
        batches: Any = self.trainer.predict(**options)
        rows = prediction_rows(of_all_processes(batches), self.datamodule)
        if not self.trainer.is_global_zero:
            return
        if not self.writes:
            write_csv(rows, sys.stdout)
            return
        path = self.run / "predict" / "predictions.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new, new.open("w", newline="") as file:
            write_csv(rows, file)
        print(f"predictions: {path}", flush=True)
