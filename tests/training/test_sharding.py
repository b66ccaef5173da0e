import copy
from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

import videowino
from videowino.training import VideoClassifier, WinogradConfig, load_classifier, sharding
from videowino.training.fully_sharded import FullySharded
from videowino.training.sharding import (
    average_whole_gradients,
    clip_gradients,
    gradient_norm,
    is_sharded,
    like,
    own,
    same_in_all,
    shard,
    whole,
)
from videowino.winograd import winograd_layers


@pytest.fixture
def mesh():
    """One process, which has all rows of everything."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def network(parameterization="low_rank"):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm3d(4),
        nn.ReLU(),
        nn.Conv3d(4, 4, 3, padding=1),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(4, 6),
        nn.Linear(6, 5),
    ).to(memory_format=torch.channels_last_3d)
    videowino.convert(model, parameterization=parameterization, rank=2)
    return model


def backward(model):
    torch.manual_seed(1)
    y = model(torch.randn(2, 3, 4, 12, 12))
    y.square().sum().backward()
    return y.detach()


@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank"])
def test_all_but_winograd_layers_is_sharded_and_nothing_else_changes(parameterization, mesh):
    model, reference = network(parameterization), network(parameterization)
    shard(model, mesh)
    assert is_sharded(model) and not is_sharded(reference)
    layer = "3."
    sharded = {name for name, p in model.named_parameters() if isinstance(p, DTensor)}
    assert sharded == {n for n, _ in reference.named_parameters() if not n.startswith(layer)}
    assert torch.allclose(backward(model), backward(reference), atol=1e-6)
    average_whole_gradients(model)
    for (name, ours), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert torch.allclose(whole(ours.grad), theirs.grad, atol=1e-5), name
    state, expected = model.state_dict(), reference.state_dict()
    assert list(state) == list(expected)
    assert not any(isinstance(value, DTensor) for value in state.values())
    assert all(torch.allclose(state[name], expected[name]) for name in state)
    network(parameterization).load_state_dict(state)


def test_norms_and_clipping_are_those_of_the_whole_network(mesh):
    for most, algorithm in ((0.5, "norm"), (0.5, None), (1e9, "norm"), (0.01, "value")):
        model, reference = network(), network()
        shard(model, mesh)
        backward(model), backward(reference)
        theirs = [p.grad for p in reference.parameters() if p.grad is not None]
        ours = [p.grad for p in model.parameters() if p.grad is not None]
        total = torch.nn.utils.get_total_norm(theirs)
        assert float(gradient_norm(ours)) == pytest.approx(float(total))
        assert float(gradient_norm(theirs)) == pytest.approx(float(total))
        clip_gradients(ours, most, algorithm)
        if algorithm == "value":
            torch.nn.utils.clip_grad_value_(reference.parameters(), most)
        else:
            torch.nn.utils.clip_grad_norm_(reference.parameters(), most)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.allclose(own(a), b, rtol=1e-4, atol=1e-7)
    assert float(gradient_norm([])) == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_norms_tell_what_is_not_finite(bad, mesh):
    model = network()
    shard(model, mesh)
    backward(model)
    own(model[6].weight.grad)[0, 0] = bad
    assert not gradient_norm(p.grad for p in model.parameters() if p.grad is not None).isfinite()


def test_rows_of_a_tensor_and_the_whole_of_it(mesh):
    model = network()
    shard(model, mesh)
    momentum = torch.randn(6, 4)
    rows = like(momentum, model[6].weight)
    assert isinstance(rows, DTensor) and torch.equal(whole(rows), momentum)
    step = torch.tensor(3.0)
    assert like(step, model[6].weight) is step and like(momentum, momentum) is momentum
    assert whole(momentum) is momentum and own(momentum) is momentum


def test_gradients_are_sent_in_buckets_of_one_type(mesh, monkeypatch):
    monkeypatch.setattr(sharding, "_BUCKET", 40)
    sent = []
    monkeypatch.setattr(dist, "all_reduce", lambda flat: sent.append((flat.dtype, len(flat))))
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    model = nn.ParameterList([torch.ones(4), torch.ones(2, 3), torch.ones(2), torch.ones(30)])
    model.append(nn.Parameter(torch.ones(1, dtype=torch.float64)))
    for parameter in model:
        parameter.grad = torch.full_like(parameter, 4)
    model[1].grad = torch.full((3, 2), 4.0).T
    average_whole_gradients(model)
    assert sent == [
        *((torch.float32, 10), (torch.float32, 2), (torch.float32, 30), (torch.float64, 1))
    ]
    assert all(bool((p.grad == 2).all()) for p in model)


def test_what_is_sent_may_lie_in_any_order(mesh):
    tensor = torch.arange(6.0).view(2, 3).T
    before = tensor.clone()
    same_in_all([tensor])
    assert torch.equal(tensor, before)


def test_an_older_torch_is_refused(monkeypatch):
    monkeypatch.setattr(sharding, "fully_shard", lambda module, *, mesh: module)
    with pytest.raises(ValueError, match=r"^trainer\.strategy: .* PyTorch 2\.7 .*; choose ddp$"):
        shard(network(), None)


class Clips(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return {"clip": torch.randn(3, 4, 16, 16, generator=generator), "label": index % 3}


def classifier():
    torch.manual_seed(0)
    return VideoClassifier(
        backbone="r3d_10",
        num_classes=3,
        width=0.0625,
        stem="small",
        winograd=WinogradConfig(parameterization="low_rank", rank=2),
    )


def trained(tmp_path, strategy, epochs, resume=None, **options):
    model = classifier()
    save = ModelCheckpoint(tmp_path, filename=f"{strategy}{epochs}", enable_version_counter=False)
    trainer = pl.Trainer(
        max_epochs=epochs,
        strategy=strategy,
        accelerator="cpu",
        devices=1,
        callbacks=[save],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    try:
        trainer.fit(model, DataLoader(Clips(), batch_size=2), ckpt_path=resume)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return tmp_path / f"{strategy}{epochs}.ckpt"


def test_a_checkpoint_is_that_of_one_process(tmp_path):
    """And either goes on from the other's."""
    options = {"gradient_clip_val": 0.5, "precision": "64-true"}
    paths = [trained(tmp_path, name, 1, **options) for name in ("auto", "fully_sharded")]
    one, ours = (torch.load(path, weights_only=True) for path in paths)
    assert ours.keys() == one.keys()
    compare(one, ours)
    load_classifier(paths[1])
    paths = [
        trained(tmp_path, "auto", 2, resume=paths[1], **options),
        trained(tmp_path, "fully_sharded", 2, resume=paths[0], **options),
    ]
    compare(*(torch.load(path, weights_only=True) for path in paths))


def compare(one, ours):
    for name, value in one["state_dict"].items():
        assert torch.allclose(value, ours["state_dict"][name], atol=1e-9), name
    (theirs,), (held,) = one["optimizer_states"], ours["optimizer_states"]
    assert held["param_groups"] == theirs["param_groups"]
    assert held["state"].keys() == theirs["state"].keys()
    for number, state in theirs["state"].items():
        momentum = held["state"][number]["momentum_buffer"]
        assert type(momentum) is torch.Tensor
        assert torch.allclose(momentum, state["momentum_buffer"], atol=1e-9)


def test_gradients_are_not_scaled(tmp_path):
    from pytorch_lightning.plugins import MixedPrecision

    half = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    with pytest.raises(ValueError, match=r"^trainer\.precision=16-mixed: .* bf16-mixed$"):
        trained(tmp_path, "fully_sharded", 1, plugins=[half])


def test_a_whole_copy_of_a_sharded_network(mesh):
    model = classifier()
    assert model.whole_network() is model.model
    for layer in winograd_layers(model).values():
        layer.set_column_mask(torch.arange(layer.columns) % 2 == 0)
    reference = copy.deepcopy(model.model).eval()
    shard(model.model, mesh)
    found = model.eval().whole_network()
    clips = torch.randn(1, 3, 4, 16, 16)
    assert not is_sharded(found) and not found.training
    assert torch.allclose(found(clips), reference(clips), atol=1e-5)


def test_time_to_wait():
    assert FullySharded(timeout=timedelta(minutes=1))._timeout == timedelta(minutes=1)
