from types import SimpleNamespace

import pytest
import torch
from torch import nn

from videowino.surgery import convert, prune
from videowino.training.same_masks import check_same_masks, checksum
from videowino.winograd import winograd_layers


def trainer(other=None):
    """Of two processes, the other with these masks' checksums."""

    def all_gather(own):
        return torch.stack([own, own if other is None else other])

    strategy = SimpleNamespace(all_gather=all_gather, root_device=torch.device("cpu"))
    return SimpleNamespace(world_size=2, strategy=strategy, global_step=7)


def layers(sparsity):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(32, 4, 3), nn.Conv3d(32, 4, 3), nn.Conv3d(32, 4, 3))
    convert(model, parameterization="spatial")
    prune(model, sparsity)
    return winograd_layers(model)


def test_the_same_masks_pass():
    check_same_masks(trainer(), layers(0.5))
    check_same_masks(SimpleNamespace(world_size=1), layers(0.5))


def test_a_column_more_in_one_process_stops_the_run():
    mine, theirs = layers(0.5), layers(0.5)
    mask = theirs["1"].column_mask.clone()
    mask[mask.nonzero()[0]] = False
    theirs["1"].set_column_mask(mask)
    other = torch.tensor([checksum(layer.mask) for layer in theirs.values()])
    with pytest.raises(ValueError, match="step 7: processes 0 and 1 prune different columns of 1 "):
        check_same_masks(trainer(other), mine)


def test_blocks_of_channels_count():
    (layer, *_) = layers(0.5).values()
    before = checksum(layer.mask)
    blocks = layer.kept_by_block().clone()
    blocks[1, blocks[1].nonzero()[0]] = False
    layer.set_block_mask(blocks)
    assert checksum(layer.mask) != before
