import torch
from torch import nn

import videowino
from videowino.latency import LayerCost
from videowino.latency.cost import counts
from videowino.training.column_cuts import exchange, masks_for
from videowino.winograd import winograd_layers


def layers_of():
    model = nn.Sequential(nn.Conv3d(4, 4, 3), nn.Conv3d(4, 4, 3))
    videowino.convert(model, rank=2)
    return winograd_layers(model)


def hold(layer, scores):
    layer.score_steps.fill_(1)
    layer.score_decay.zero_()
    layer.set_scores(torch.arange(144), scores)


def test_by_time_whole_lines_of_the_slower_layer_go():
    layers = layers_of()
    torch.manual_seed(0)
    for layer in layers.values():
        hold(layer, 0.5 + 0.01 * torch.rand(144))
    costs = {"0": LayerCost((4, 6, 6), 0, 0.01, 0.2), "1": LayerCost((4, 6, 6), 0, 0.001, 0.0)}
    masks = masks_for(layers, 0.25, score="taylor", budget="time", costs=costs)
    assert counts(masks["0"], (4, 6, 6)) == (72, 18)
    assert int(masks["1"].sum()) == 144
    by_score = masks_for(layers, 0.25, score="taylor", budget="global")
    assert sum(int(m.sum()) for m in by_score.values()) == 216
    assert counts(by_score["0"], (4, 6, 6))[1] == 36


def test_columns_come_back_for_kept_ones_that_are_worth_less():
    layers = layers_of()
    layer = layers["0"]
    hold(layer, torch.arange(144) / 144)
    hold(layers["1"], torch.ones(144))
    now = torch.arange(144) >= 44  # 0 to 43 are gone
    for each in layers.values():
        each.set_column_mask(now)
    masks = {name: torch.arange(144) >= 48 for name in layers}  # and 44 to 47 go now
    # Gradients have become a hundred times smaller since the held scores.
    probed = {name: (torch.arange(144) / 14400).masked_fill(~now, 0.0) for name in layers}
    probed["0"][[7, 9, 11]] = torch.tensor([48.5, 90.0, 0.1]) / 14400
    found = exchange(layers, masks, probed, share=0.5)
    # 9 is worth more than 48, the least of those kept; 7, at 48.5, is not worth more than 49.
    expected = masks["0"].clone()
    expected[9], expected[48] = True, False
    assert torch.equal(found["0"], expected)
    assert torch.equal(found["1"], masks["1"])
    assert abs(float(layer.scores("held")[9]) - 90 / 144) < 1e-6


def test_no_more_come_back_than_the_share_allows():
    layers = layers_of()
    for layer in layers.values():
        hold(layer, torch.ones(144))
        layer.set_column_mask(torch.arange(144) >= 40)
    masks = {name: layer.column_mask for name, layer in layers.items()}
    probed = {name: torch.where(mask, 1.0, 5.0) for name, mask in masks.items()}
    for share, back in ((0.0, 0), (0.25, 10), (1.0, 40)):
        found = exchange(layers, masks, probed, share)
        assert all(int((found[n] & ~masks[n]).sum()) == back for n in layers)
        assert all(int(mask.sum()) == 104 for mask in found.values())
