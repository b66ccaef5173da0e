"""Normalisation in one go, against double precision."""

import pytest
import torch
from torch.testing import assert_close

from videowino.data.normalize import ClipNormalize, MotionNormalize, Normalize, planes

MEAN, STD = (0.4, 0.3, 0.5), (0.2, 0.25, 0.3)


def exact(module, frames):
    """What the module is to give: ... T C H W -> ... C T H W float64."""
    x = frames.double().transpose(-4, -3) / 255
    dims = (-4, -3, -2, -1)
    if isinstance(module, Normalize):
        mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None, None] for v in (MEAN, STD))
        return (x - mean) / std
    if isinstance(module, MotionNormalize):
        x = x - x.mean(-3, keepdim=True)
        return x / (x.std(dims, keepdim=True, correction=0) + 1e-2)
    return (x - x.mean(dims, keepdim=True)) / (x.std(dims, keepdim=True, correction=0) + 1e-3)


@pytest.mark.parametrize("module", [Normalize(MEAN, STD), ClipNormalize(), MotionNormalize()])
@pytest.mark.parametrize("shape", [(16, 3, 64, 64), (2, 2, 5, 3, 6, 7)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_values(module, shape, dtype):
    frames = torch.randint(0, 256, shape, dtype=torch.uint8).to(dtype)
    if len(shape) == 4:
        frames = frames.contiguous(memory_format=torch.channels_last)
    before = frames.clone()
    clip = module(frames)
    assert clip.is_contiguous() and clip.dtype == torch.float32
    assert_close(clip.double(), exact(module, frames), atol=2e-6, rtol=1e-6)
    assert torch.equal(frames, before)


def test_planes_are_a_copy():
    frames = torch.randint(0, 256, (3, 4, 5, 6)).float()  # what needs no change of type or layout
    clip = planes(frames.transpose(0, 1))
    clip.zero_()
    assert frames.abs().max() > 0
