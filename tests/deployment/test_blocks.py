"""Networks pruned by blocks of channels, from `videowino.prune` to the deployed file."""

import pytest
import torch
from torch import nn

import videowino
from tests.deployment.networks import CLIP, trained
from videowino.deployment.folded import FoldedConv3d
from videowino.latency import prune_to_speedup
from videowino.report import report
from videowino.surgery import dense_like
from videowino.winograd import column_sparsity, winograd_layers


def network(parameterization="spatial"):
    """Of 3, 40 and 24 channels: one, three and two blocks."""
    torch.manual_seed(0)
    convs = [nn.Conv3d(3, 40, 3, padding=1), nn.Conv3d(40, 24, 3, padding=1, bias=False)]
    model = nn.Sequential(convs[0], nn.BatchNorm3d(40), nn.ReLU(), convs[1], nn.ReLU())
    model.append(nn.Conv3d(24, 8, 3, padding=1))
    model = trained(model).eval()
    videowino.convert(model, parameterization=parameterization, rank=5)
    for parameter in model.parameters():
        parameter.data += (
            0.05 * parameter.detach().std().nan_to_num(1) * torch.randn_like(parameter)
        )
    return model


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank", "factored"])
def test_deployed_saved_and_loaded(tmp_path, parameterization, compensate):
    model = network(parameterization)
    videowino.prune(model, 0.5, granularity="block", compensate=compensate)
    assert column_sparsity(model, "block") == pytest.approx(0.5)
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.check(model, [CLIP]) < 1e-4
    deployed.save(tmp_path / "model.vwino")
    loaded = videowino.load(tmp_path / "model.vwino", budget=0)
    assert loaded.check(model, [CLIP]) < 1e-4
    counted = [layer.columns for layer in report(model).swapped]
    assert counted == [144] * 3
    multiplied = [layer.columns_multiplied for layer in winograd_layers(model).values()]
    assert [layer.columns for layer in loaded.report(repeats=1).layers] == [
        f"{round(value, 1):.10g}/144" for value in multiplied
    ]


def test_multiplications_are_those_of_kept_channels():
    model = network()
    layers = list(winograd_layers(model).values())
    mask = torch.zeros(3, 144, dtype=torch.bool)
    mask[0, :10] = mask[2, :30] = True
    layers[1].set_block_mask(mask)
    found = report(model, CLIP)
    tiles = 2 * 2 * 5 * 5  # of two clips of 4x20x20
    assert found.layers[1].multiplications == (10 * 16 + 30 * 8) * 24 * tiles
    assert found.layers[1].columns_kept == pytest.approx(10)  # (160 + 240) / 40
    assert "10/144" in str(found)
    assert column_sparsity(model) == pytest.approx(1 - (144 + 10 + 144) / 432)


def test_copies_and_the_plain_path():
    model = network("low_rank")
    videowino.prune(model, 0.6, granularity="block", score="reconstruction")
    layer = winograd_layers(model)["3"]
    assert layer.block_mask is not None
    x = torch.randn(1, 40, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(FoldedConv3d(layer)(x), layer(x), rtol=1e-3, atol=1e-4)
    dense = dense_like(model)
    assert not winograd_layers(dense) and dense(CLIP).shape == model(CLIP).shape
    videowino.restore(model)
    assert len(winograd_layers(model)) == 3  # pruned ones stay


def test_speedups_want_whole_columns():
    model = network()
    videowino.prune(model, 0.5, granularity="block")
    with pytest.raises(ValueError, match="pruned by blocks of channels"):
        prune_to_speedup(model, 2.0, CLIP)
    with pytest.raises(ValueError, match="granularity='rows'"):
        videowino.prune(model, 0.5, granularity="rows")
