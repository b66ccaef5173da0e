"""Configurations of train.py, up to where training would begin."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import yaml

from fuzz.mutate import change_bytes, change_lines, change_value
from videowino.training.command import TrainCLI

_CONFIGS = Path(__file__).parents[2] / "configs"


class _Parsed(TrainCLI):
    """Parses, and makes network, data and trainer; trains nothing and writes nothing."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """One of the four: to make their parsers is most of the work."""
        return {"fit": TrainCLI.subcommands()["fit"]}

    def _run_subcommand(self, subcommand: str) -> None:
        pass


class Configs:
    """What `train.py fit --config FILE` does before it trains."""

    suffix = ".yaml"

    def seeds(self) -> list[bytes]:
        """The demo's, and a pruned one."""
        names = ("demo.yaml", "demo_low_rank.yaml", "demo_vanilla.yaml")
        return [(_CONFIGS / name).read_bytes() for name in names]

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """Bytes, lines, or values."""
        kind = chance.random()
        if kind < 0.4:
            return chance.choice((change_bytes, change_lines))(data, chance)
        try:
            content: Any = yaml.safe_load(data)
        except (yaml.YAMLError, UnicodeDecodeError, ValueError):
            return change_bytes(data, chance)
        return yaml.safe_dump(change_value(content, chance), sort_keys=False).encode()

    def read(self, path: Path) -> None:
        """Everything but training."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _Parsed(["fit", "--config", str(path), "--trainer.accelerator", "cpu"])
