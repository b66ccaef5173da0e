"""Networks small enough to reckon by hand, and a comparison with made-up figures."""

import pytest
import torch
from torch import nn

from videowino.environment import Environment
from videowino.evaluation.comparison import (
    AccuracyFigures,
    Comparison,
    LayerSpeed,
    Row,
    Speed,
    TestData,
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny operators gain nothing from threads, and lose much where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Lookup(nn.Module):
    """Gives row n of `logits` for a clip filled with n."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.logits[x[:, 0, 0, 0, 0].long()]


@pytest.fixture
def lookup():
    return Lookup


def make_row(name, kind, parameterization, kept, accuracy, speeds):
    return Row(
        name=name,
        kind=kind,
        checkpoint=None if kind == "exact" else f"runs/{name}/checkpoints/last.ckpt",
        parameterization=parameterization,
        columns_kept=kept,
        accuracy=accuracy,
        parameters=33_166_000,
        trainable=1_234_000,
        multiplications=6_790_000_000,
        multiplications_dense=40_700_000_000,
        speed=[
            Speed(size, 100 / speedup, 3.0, 9, speedup, "oneDNN, channels first")
            for size, speedup in zip((1, 8), speeds)
        ],
    )


@pytest.fixture
def comparison():
    """Dense, exact, two checkpoints; 26 classes, three views."""
    rows = [
        make_row("dense", "dense", None, None, AccuracyFigures(57.5, 88.25, 61.5, 91.25), (1, 1)),
        make_row(
            "exact Winograd",
            "exact",
            "spatial",
            1.0,
            AccuracyFigures(57.5, 88.25, 61.5, 91.25, 0),
            (0.62, 0.5),
        ),
        make_row(
            "half",
            "checkpoint",
            "low_rank",
            0.5,
            AccuracyFigures(56.0, 87.0, 60.25, 90.5, 31),
            (1.2, 1.25),
        ),
        make_row(
            "quarter",
            "checkpoint",
            "vanilla",
            0.25,
            AccuracyFigures(44.0, 80.0, 49.0, 85.0, 99),
            (1.9, 2.5),
        ),
    ]
    return Comparison(
        rows=rows,
        data=TestData("VideoFolder", "clips", 4, 260, 3, 26, (3, 16, 32, 44)),
        environment=Environment(
            processor="AMD EPYC",
            instruction_set="avx512",
            winograd="kernels, avx512",
            threads=2,
            device="cpu",
            versions={"torch": "2.13.0"},
            python="3.11.4",
            system="Linux x86_64",
            measured_at="now",
        ),
        layers=[LayerSpeed("layer1.0", 1, {row.name: 1.25 for row in rows})],
        notes=["A note."],
    )
