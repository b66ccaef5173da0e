"""Large results come from blocks that go round."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from videowino.kernels.memory import SMALLEST, Pool
from videowino.surgery import convert

LARGE = (1, 4, 8, 256, 256)  # 8 MB
LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [LARGE, (1, 2, 3, 4, 5)])
def test_is_an_ordinary_tensor(layout, shape):
    tensor = Pool().empty(shape, layout)
    assert tensor.shape == shape and tensor.dtype == torch.float32
    assert tensor.is_contiguous(memory_format=layout)
    assert not tensor._is_view()
    assert torch.equal(tensor.fill_(3) + 1, torch.full(shape, 4.0))


def test_a_block_comes_back_when_its_last_view_is_gone():
    pool = Pool()
    tensor = pool.empty(LARGE, torch.contiguous_format)
    address, view = tensor.data_ptr(), tensor[:, 1]
    del tensor
    assert pool.kept == 0
    other = pool.empty(LARGE, torch.contiguous_format)
    assert other.data_ptr() != address
    del view
    assert pool.kept == 8 << 20
    again = pool.empty(LARGE, torch.channels_last_3d)
    assert again.data_ptr() == address


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("parameterization", ["vanilla", "low_rank"])
def test_what_works_in_place_may_follow_a_layer_in_training(parameterization, layout):
    """As in C3D, whose convolutions have no batch norm between them and their ReLU."""
    torch.manual_seed(0)
    conv = nn.Conv3d(3, 16, 3, padding=1)
    x = torch.randn(1, 3, 4, 64, 72)
    assert x.numel() * 16 / 3 * 4 > SMALLEST
    wanted = F.relu(F.conv3d(x.double(), conv.weight.double(), conv.bias.double(), padding=1))
    model = nn.Sequential(conv, nn.ReLU(inplace=True))
    convert(model, parameterization=parameterization, rank=4)
    mine = x.clone(memory_format=torch.preserve_format).to(memory_format=layout).requires_grad_()
    y = model(mine)
    assert torch.allclose(y.double(), wanted, atol=1e-4)
    y.square().sum().backward()
    theirs = x.double().requires_grad_()
    F.relu(
        F.conv3d(theirs, conv.weight.double(), conv.bias.double(), padding=1)
    ).square().sum().backward()
    assert torch.allclose(mine.grad.double(), theirs.grad, atol=1e-3)


def test_live_tensors_share_nothing():
    pool = Pool()
    tensors = [pool.empty(LARGE, torch.contiguous_format).fill_(value) for value in range(3)]
    assert all(bool((tensor == value).all()) for value, tensor in enumerate(tensors))


def test_keeps_no_more_than_allowed():
    pool = Pool(keep=16 << 20)
    tensors = [pool.empty(LARGE, torch.contiguous_format) for _ in range(4)]
    tensors.clear()
    assert pool.kept == 16 << 20


def test_small_results_are_left_to_torch():
    pool = Pool()
    del_me = pool.empty((1, 1, 1, 1, SMALLEST // 4 - 1), torch.contiguous_format)
    del del_me
    assert pool.kept == 0
