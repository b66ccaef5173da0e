"""Checkpoints: bytes, entries of the archive under a right checksum, and what is in them."""

from __future__ import annotations

import io
import os
import pickle
import random
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

from fuzz.mutate import change_bytes, change_value
from videowino.data import SyntheticMotion
from videowino.models.weights import read_state_dict
from videowino.training import VideoClassifier, WinogradConfig, load_classifier, load_datamodule

_MARK = Path(tempfile.gettempdir()) / "videowino-fuzz-code-ran"


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {_MARK}",)


class Checkpoints:
    """All that reads them: for evaluation, for their data, and for weights."""

    suffix = ".ckpt"

    def seeds(self) -> list[bytes]:
        """A pruned network's, one with blocks, a bare state dict, and one that holds code."""
        import pytorch_lightning as pl  # behind videowino, which sees to torchvision

        torch.manual_seed(0)
        winograd = WinogradConfig(rank=1, include=["layer1*"])
        model = VideoClassifier("r3d_10", 2, width=0.0625, stem="small", winograd=winograd)
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        trainer.strategy.connect(model)
        model.trainer = trainer
        data = SyntheticMotion(root="none")
        content = trainer._checkpoint_connector.dump_checkpoint()
        content["datamodule_class"] = "videowino.data.SyntheticMotion"
        content["datamodule_hyper_parameters"] = dict(data.hparams)
        bare = torch.nn.Conv3d(1, 1, 1).state_dict()
        plain = pickle.dumps({"state_dict": _Code()})
        return [saved(content), saved(bare), saved({"state_dict": bare, "x": _Code()}), plain]

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """Bytes, an entry, or a value."""
        kind = chance.random()
        if kind < 0.3 or not zipfile.is_zipfile(io.BytesIO(data)):
            return change_bytes(data, chance)
        if kind < 0.5:
            return _with_entry_changed(data, chance)
        try:
            content = torch.load(io.BytesIO(data), weights_only=True)
        except Exception:  # as many as there are ways to be broken
            return change_bytes(data, chance)
        part = chance.choice(
            ("hyper_parameters", "datamodule_hyper_parameters", "state_dict", None)
        )
        if isinstance(content, dict) and isinstance(content.get(part), dict):
            return saved(content | {part: change_value(dict(content[part]), chance)})
        return saved(change_value(content, chance))

    def read(self, path: Path) -> None:
        """In all ways, and look whether code ran."""
        refused: Exception | None = None
        for way in (read_state_dict, load_datamodule, load_classifier):
            try:
                way(path)
            except (ValueError, FileNotFoundError) as error:
                refused = error
        if _MARK.exists():
            _MARK.unlink()
            raise RuntimeError("code in the file ran")
        if refused is not None:
            raise refused


def saved(content: Any) -> bytes:
    """As torch saves it."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _with_entry_changed(data: bytes, chance: random.Random) -> bytes:
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            names = old.namelist()
            victim = chance.choice([n for n in names if n.endswith("data.pkl")] * 3 + names)
            for name in names:
                content = old.read(name)
                new.writestr(name, change_bytes(content, chance) if name == victim else content)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError, IndexError):
        return change_bytes(data, chance)
    return out.getvalue()
