"""Once it has run, a deployed network takes no new memory for what is large."""

import resource

import pytest
import torch
from torch import nn

import videowino
from videowino.deployment.concatenation import concatenate
from videowino.kernels import native

LAST = torch.channels_last_3d


class Branches(nn.Module):
    """What 10 MB flow through: padding, convolutions, an addition, pooling, a concatenation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 16, 3, padding=1)
        self.a, self.b = nn.Conv3d(16, 16, 3, padding=1), nn.Conv3d(16, 16, 3, padding=1)
        self.pool = nn.MaxPool3d(3, 1, 1)
        self.last, self.head = nn.Conv3d(48, 16, 3), nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x).relu()
        y = (self.a(x) + x).relu()
        x = torch.cat([y, self.b(x), self.pool(y)], 1)
        return self.head(self.last(nn.functional.pad(x, (0, 2, 1, 1, 2, 0))).mean((2, 3, 4)))


def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def new_pages(model, clip):
    with torch.inference_mode():
        for _ in range(3):
            model(clip)
        before = pages()
        for _ in range(5):
            model(clip)
        return (pages() - before) / 5


@pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
def test_a_steady_state_takes_no_new_pages():
    model = Branches().eval()
    videowino.convert(model, tile=(2, 4, 4))
    videowino.prune(model, 0.5)
    clip = torch.randn(1, 3, 16, 104, 104)
    deployed = videowino.deploy(model, clip, budget=0)
    assert deployed.check(model, [clip]) < 1e-5
    written = 4 * (7 * 16 * clip[0, 0].numel())  # bytes a call
    assert new_pages(deployed, clip) * resource.getpagesize() < written / 50


@pytest.mark.parametrize("layout", [LAST, torch.contiguous_format])
@pytest.mark.parametrize("dim", [0, 1, -4, 4, -1])
def test_concatenates_as_pytorch(layout, dim):
    sizes = [(2, 3, 4, 5, 6), (2, 3, 4, 5, 6)]
    tensors = [torch.randn(size).to(memory_format=layout) for size in sizes]
    if dim in (1, -4):
        tensors.append(torch.randn(2, 7, 4, 5, 6).to(memory_format=layout))
    assert torch.equal(concatenate(tensors, dim), torch.cat(tensors, dim))


def test_concatenates_other_things_too():
    for tensors in (
        [torch.ones(2, 3), torch.zeros(1, 3)],
        [torch.ones(1, 2, 3, 4, 5).to(memory_format=LAST).long()] * 2,
        [torch.ones(1, 2, 3, 4, 5).to(memory_format=LAST), torch.ones(1, 2, 3, 4, 5).double()],
    ):
        found = concatenate(tensors)
        assert found.dtype == torch.cat(tensors).dtype and torch.equal(found, torch.cat(tensors))


def test_tensors_that_do_not_fit_are_pytorch_s_error():
    clips = [torch.ones(1, 2, 3, 4, size).to(memory_format=LAST) for size in (5, 6)]
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        concatenate(clips, 1)
