"""Deployed models: bytes, and what is in them with the digest put right again."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

import videowino
from fuzz.mutate import change_bytes, change_value
from videowino.winograd import winograd_layers


class DeployedModels:
    """`videowino.load`, which reads the file and tries the network."""

    suffix = ".vwino"

    def seeds(self) -> list[bytes]:
        """A pruned network with pooling and a shortcut."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2),
            nn.Conv3d(4, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
            nn.Linear(4, 2),
        ).eval()  # fmt: skip
        clip = torch.randn(1, 3, 4, 8, 8)
        plain = videowino.deploy(model, clip, budget=0)
        videowino.convert(model, parameterization="spatial")
        assert winograd_layers(model)
        videowino.prune(model, 0.5)
        pruned = videowino.deploy(model, clip, budget=0)
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for deployed in (plain, pruned):
                path = Path(folder) / "model.vwino"
                deployed.save(path)
                found.append(path.read_bytes())
        return found

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """Bytes, or a value of the graph or a tensor, in a file that is whole otherwise."""
        if chance.random() < 0.25:
            return change_bytes(data, chance)
        try:
            tensors, header = load(data), _header(data)
            content = json.loads(header["videowino"])
        except (SafetensorError, KeyError, ValueError, TypeError):
            return change_bytes(data, chance)
        if chance.random() < 0.2 and tensors:
            name = chance.choice(list(tensors))
            other = chance.choice(list(tensors.values()))
            tensors[name] = chance.choice(
                (other, other.double(), other.flatten()[:1], torch.zeros(0))
            )
        else:
            content = change_value(content, chance)
        return sealed(content, tensors)

    def read(self, path: Path) -> None:
        """As a user does."""
        videowino.load(path, budget=0)


def sealed(content: object, tensors: dict[str, torch.Tensor]) -> bytes:
    """A file of such content, with its digest."""
    text = json.dumps(content, sort_keys=True)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return save(tensors, {"videowino": text, "digest": digest.hexdigest()})


def _header(data: bytes) -> dict[str, str]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]
