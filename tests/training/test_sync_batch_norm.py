import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from videowino.training.sync_batch_norm import SyncBatchNorm, SyncedOnCPU, is_synchronized

SIZES = (5, 3, 0)  # clips of each process


def network(momentum=0.1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8, momentum=momentum), nn.BatchNorm3d(8, affine=False)
    )


def pass_over(model, clips, weights):
    """One training step's forward and backward pass; what came of it."""
    clips = clips.clone().requires_grad_()
    y = model(clips)
    (y * weights).sum().backward()
    return y.detach(), clips.grad, [p.grad for p in model.parameters()]


def inputs():
    generator = torch.Generator().manual_seed(1)
    clips = 3 * torch.randn(sum(SIZES), 3, 5, 6, 4, generator=generator) + 5
    return clips, torch.randn(sum(SIZES), 8, 3, 4, 2, generator=generator)


def process(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=len(SIZES))
    model = SyncedOnCPU().apply(network())
    own = slice(sum(SIZES[:rank]), sum(SIZES[: rank + 1]))
    found = pass_over(model, *(part[own] for part in inputs()))
    torch.save((*found, model.state_dict()), folder / str(rank))
    dist.destroy_process_group()


@pytest.mark.slow
def test_three_processes_are_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(process, (port, tmp_path), len(SIZES))
    found = [torch.load(tmp_path / str(rank)) for rank in range(len(SIZES))]
    model = network()
    y, grad, gradients = pass_over(model, *inputs())
    torch.testing.assert_close(torch.cat([of[0] for of in found]), y, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([of[1] for of in found]), grad, atol=1e-5, rtol=1e-4)
    for index, expected in enumerate(gradients):
        total = sum(of[2][index] for of in found)
        torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-4)
    for *_, state in found:
        torch.testing.assert_close(state, model.state_dict(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_one_process_is_plain_batch_norm(momentum):
    plain, synchronized = network(momentum), SyncedOnCPU().apply(network(momentum))
    clips, _ = inputs()
    for _ in range(2):
        torch.testing.assert_close(synchronized(clips), plain(clips))
    torch.testing.assert_close(synchronized.eval()(clips), plain.eval()(clips))
    torch.testing.assert_close(synchronized.state_dict(), plain.state_dict())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_follow_as_those_of_batch_norm(momentum, monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.mul_(2))  # the other has the same
    plain, synchronized = network(momentum), SyncedOnCPU().apply(network(momentum))
    clips, _ = inputs()
    for _ in range(2):
        expected = plain(clips.repeat(2, 1, 1, 1, 1))[: len(clips)]
        torch.testing.assert_close(synchronized(clips), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(synchronized.state_dict(), plain.state_dict(), atol=1e-5, rtol=1e-5)


def test_layers_stay_the_modules_that_they_are():
    model = network()
    norm = model[1]
    assert SyncedOnCPU().apply(model)[1] is norm and type(norm) is SyncBatchNorm
    assert is_synchronized(model)
    SyncedOnCPU().revert(model)
    assert type(norm) is nn.BatchNorm3d and not is_synchronized(model)
    assert "_was" not in vars(norm)
