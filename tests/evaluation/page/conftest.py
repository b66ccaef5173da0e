"""A page with two networks, three classes, and everything that can be shown."""

from dataclasses import replace

import pytest
import torch

from videowino.evaluation.comparison import AccuracyFigures, LayerSpeed, VideoPredictions
from videowino.evaluation.page.content import Cube, NetworkDetail, Page
from videowino.evaluation.page.samples import sample_of

CLASSES = ["Jump", "Run & <hide>", "Sit"]


@pytest.fixture
def page(comparison):
    rows = [
        comparison.rows[0],
        replace(comparison.rows[2], name="half <b>"),
        replace(comparison.rows[3], accuracy=AccuracyFigures(60.0, 90.0, 61.0, 92.0, 9)),
    ]
    names = [row.name for row in rows]
    labels = [0, 0, 1, 1, 2, 2]
    said = [[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, -1], [2, 2, 1, 1, 2, 2]]
    comparison = replace(
        comparison,
        rows=rows,
        layers=[
            LayerSpeed("layer1.0", 1, dict(zip(names, (4.0, 2.0, 1.0)))),
            LayerSpeed("layer1.0", 8, dict(zip(names, (3.0, 3.0, 3.0)))),
        ],
        predictions=VideoPredictions(
            CLASSES,
            [f"clips/{n}.avi" for n in range(6)],
            labels,
            dict(zip(names, said)),
            {name: [0.5, 0.6, 0.7, 0.8, 0.9, 1.0] for name in names},
        ),
    )
    cube = Cube("layer1.0", "F(2x2x2, 3x3x3)", (4, 4, 4), [0, 1, 2, 3, 4, 5, 0, 0] * 8)
    details = {
        "dense": NetworkDetail(config="model: {}\n", config_path="runs/dense/config.yaml"),
        "half <b>": NetworkDetail([cube]),
        "quarter": NetworkDetail([cube]),
    }
    torch.manual_seed(0)
    samples = [sample_of(video, torch.rand(3, 8, 12, 16)) for video in (1, 3)]
    return Page(comparison, details, samples, ["python evaluate.py report runs/dense"])
