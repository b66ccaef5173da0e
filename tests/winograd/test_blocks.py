"""Columns pruned by blocks of 16 input channels: the reference, and what a layer keeps of them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.winograd import WinogradConv3d, fit_tile, reference, select_columns, winograd_conv3d
from videowino.winograd.blocks import block_count, block_slices, sum_channels, to_channels
from videowino.winograd.columns import column_sparsity
from videowino.winograd.compensation import refit
from videowino.winograd.transforms import filter_matrix
from videowino.winograd.weights import Weights

F222 = fit_tile(2, (3, 3, 3))
KINDS = ["spatial", "vanilla", "low_rank", "factored"]


def relative(a, b):
    return ((a.double() - b).norm() / b.double().norm().clamp_min(1e-30)).item()


def random_mask(blocks, columns, share=0.5):
    """Each block a mask of its own, some of them empty, some columns in no block."""
    mask = torch.rand(blocks, columns) < share
    mask[:, -1] = False
    mask[0, 0] = True
    return mask


def layer_of(kind="spatial", channels=(40, 6), dtype=torch.float64, tile=2):
    torch.manual_seed(1)
    conv = torch.nn.Conv3d(*channels, 3, padding=1, dtype=dtype)
    rank = {"low_rank": 4, "factored": 27}.get(kind)
    layer = WinogradConv3d.from_conv(conv, tile=tile, parameterization=kind, rank=rank)
    if kind == "low_rank":
        torch.nn.init.normal_(layer.left, std=0.01)
    torch.nn.init.uniform_(layer.gate, 0.8, 1.2)
    return layer


def by_hand(layer, x, u):
    """The convolution with a given U, (C_out, C_in, P), in which pruned blocks are zeros."""
    return winograd_conv3d(
        x,
        out_channels=layer.out_channels,
        tile=layer.tile,
        winograd=u,
        bias=layer.bias,
        padding=layer.pads,
    )


def test_channels_of_blocks():
    x = torch.arange(3.0)[:, None]
    assert [(c.start, c.stop) for c in block_slices(40)] == [(0, 16), (16, 32), (32, 40)]
    assert to_channels(x, 40).flatten().tolist() == [0.0] * 16 + [1.0] * 16 + [2.0] * 8
    assert sum_channels(to_channels(x, 40)).flatten().tolist() == [0.0, 16.0, 16.0]


@st.composite
def problems(draw):
    taps = tuple(draw(st.sampled_from([1, 2, 3])) for _ in range(3))
    return {
        "taps": taps,
        "m": tuple(draw(st.integers(1, 4)) for _ in range(3)),
        "stride": draw(st.sampled_from([1, 1, 2])),
        "channels": (draw(st.sampled_from([17, 32, 40])), draw(st.integers(1, 5))),
        "size": tuple(draw(st.integers(r, r + 5)) for r in taps),
        "batch": draw(st.integers(1, 2)),
        "own": draw(st.booleans()),
    }


@settings(max_examples=30, deadline=None)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_values_and_gradients_are_those_of_a_weight_with_zeros(problem, seed):
    torch.manual_seed(seed)
    ins, outs = problem["channels"]
    tile = fit_tile(problem["m"], problem["taps"], stride=(problem["stride"],) * 3)
    count, double = block_count(ins), torch.float64
    mask = random_mask(count, tile.positions)
    columns = mask.any(0).nonzero().flatten()
    x = torch.randn(problem["batch"], ins, *problem["size"], dtype=double, requires_grad=True)
    spatial = torch.randn(outs, ins, *problem["taps"], dtype=double, requires_grad=True)
    left = torch.randn(outs * ins, 2, dtype=double, requires_grad=True)
    kept = len(columns)
    own = problem["own"]
    right = torch.randn((count, 2, kept) if own else (2, tile.positions), dtype=double)
    gate = torch.rand((count, tile.positions) if own else (tile.positions,), dtype=double) + 0.5
    k = filter_matrix(tile, double, torch.device("cpu"))
    transform = k[columns] * torch.randn(count, kept, 1) if own else None
    parts = [x, spatial, left, right.requires_grad_(), gate.requires_grad_()]
    arguments = {"out_channels": outs, "tile": tile}
    y = winograd_conv3d(
        x, **arguments, spatial=spatial, transform=transform, left=left, right=right,
        gate=gate, columns=columns, blocks=mask[:, columns],
    )  # fmt: skip

    rows = k[columns].expand(count, -1, -1) if transform is None else transform
    rows = torch.cat([rows, (right if own else right[:, columns].expand(count, -1, -1)).mT], 2)
    terms = torch.cat([spatial.flatten(2), left.view(outs, ins, 2)], 2)
    u = torch.einsum("cpk,ock->ocp", to_channels(rows, ins), terms)
    factor = gate.expand(count, -1) * mask
    u = u.new_zeros(outs, ins, tile.positions).index_copy(2, columns, u) * to_channels(factor, ins)
    expected = winograd_conv3d(x, **arguments, winograd=u)
    assert relative(y, expected) < 1e-10
    grad = torch.randn_like(y)
    found = torch.autograd.grad(y, parts, grad)
    for a, b in zip(found, torch.autograd.grad(expected, parts, grad), strict=True):
        assert relative(a, b) < 1e-9 or (a - b).norm() < 1e-9


def test_gradcheck():
    torch.manual_seed(0)
    tile = fit_tile((1, 2, 2), (1, 2, 2))
    mask = random_mask(2, tile.positions)
    columns = mask.any(0).nonzero().flatten()
    parts = [
        torch.randn(1, 17, 1, 3, 4, dtype=torch.float64),
        torch.randn(2, 17, tile.positions, dtype=torch.float64),
        torch.rand(2, tile.positions, dtype=torch.float64),
    ]

    def run(x, winograd, gate):
        return winograd_conv3d(
            x, out_channels=2, tile=tile, winograd=winograd, gate=gate, columns=columns,
            blocks=mask[:, columns],
        )  # fmt: skip

    assert torch.autograd.gradcheck(run, [part.requires_grad_() for part in parts])


@pytest.mark.parametrize("kind", KINDS)
def test_equal_masks_are_a_column_mask(kind):
    layer, other = layer_of(kind), layer_of(kind)
    x = torch.randn(1, 40, 3, 6, 5, dtype=torch.float64)
    before = layer(x)
    mask = torch.rand(layer.columns) < 0.6
    layer.set_block_mask(torch.ones(3, layer.columns, dtype=torch.bool))
    assert relative(layer(x), before) < 1e-6
    layer.set_block_mask(mask.expand(3, -1))
    other.set_column_mask(mask)
    assert layer.block_mask is None and layer.blocks_kept == 3 * layer.columns_kept
    assert relative(layer(x), other(x)) < 1e-6


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_block_is_pruned_by_itself(kind, compensate):
    layer = layer_of(kind)
    layer.gate.data.fill_(1)
    u = layer.winograd_weight()
    mask = random_mask(3, layer.columns)
    mask[:2] |= torch.arange(layer.columns) == 3  # the third keeps fewer
    layer.set_block_mask(mask, compensate)
    expected = torch.zeros_like(u)
    for c, kept in zip(block_slices(40), mask, strict=True):
        own = kept.nonzero().flatten()
        expected[:, c, own] = u[:, c] @ refit(layer.tile, None, own) if compensate else u[:, c, own]
    assert relative(layer.winograd_weight(), expected) < 1e-6
    x = torch.randn(2, 40, 3, 5, 4, dtype=torch.float64)
    assert relative(layer(x), by_hand(layer, x, expected)) < 1e-6
    assert torch.equal(layer.column_mask, mask.any(0))
    assert layer.blocks_kept == int(mask.sum())
    sizes = torch.tensor([16, 16, 8])
    multiplied = float((mask.sum(1) * sizes).sum()) / 40
    assert layer.columns_multiplied == pytest.approx(multiplied)
    model = torch.nn.Sequential(layer)
    assert column_sparsity(model) == pytest.approx(1 - multiplied / layer.columns)
    assert column_sparsity(model, "block") == pytest.approx(1 - mask.float().mean().item())


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_after_blocks_and_columns_after_blocks(kind):
    """What is refitted twice is what is refitted once, as long as nothing comes back."""
    layer = layer_of(kind)
    first, x = random_mask(3, layer.columns, 0.8), torch.randn(1, 40, 3, 4, 4, dtype=torch.float64)
    second = first & random_mask(3, layer.columns, 0.8)
    layer.set_block_mask(first)
    layer.set_block_mask(second)
    once = layer_of(kind)
    once.set_block_mask(second)
    assert relative(layer(x), once(x)) < 1e-3  # the refit's ridge
    layer.set_column_mask(layer.column_mask & (torch.arange(layer.columns) > 5))
    assert layer.block_mask is None and layer.kept_blocks is None
    assert layer(x).isfinite().all()
    given = layer.given_away("block")
    assert given.shape == (3, layer.columns) and not bool((given & layer.column_mask).any())


@pytest.mark.parametrize("kind", KINDS)
def test_training_leaves_pruned_blocks_alone(kind):
    layer = layer_of(kind, dtype=torch.float32)
    mask = random_mask(3, layer.columns)
    layer.set_block_mask(mask)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        layer(torch.randn(1, 40, 3, 4, 4)).square().mean().backward()
        optimizer.step()
    pruned = ~to_channels(mask, 40).expand(6, -1, -1)
    assert not bool(layer.winograd_weight()[pruned].any())
    if kind == "vanilla":
        assert not bool(layer.weight.grad[pruned].any())


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_and_copies(kind):
    layer = layer_of(kind)
    x = torch.randn(1, 40, 3, 4, 4, dtype=torch.float64)
    old = {name: value.clone() for name, value in layer.state_dict().items()}
    assert not any("block" in name for name in old)  # files are what they were
    whole = layer(x)
    layer.set_block_mask(random_mask(3, layer.columns))
    layer.score_blocks()
    fresh = layer_of(kind)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x)) and torch.equal(fresh.block_mask, layer.block_mask)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    # A column mask that says otherwise loses: there is one source.
    state = layer.state_dict() | {"column_mask": torch.ones(layer.columns, dtype=torch.bool)}
    fresh.load_state_dict(state)
    assert torch.equal(fresh.column_mask, layer.block_mask.any(0))
    fresh.load_state_dict(old)
    assert fresh.block_mask is None and fresh.block_score is None
    assert torch.equal(fresh(x), whole)
    half = layer.half().float()
    assert half.block_mask.dtype == torch.bool and half.block_score.dtype == torch.float32


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 64, dtype=torch.bool), r"expects bool \(3, 64\)"),
        (torch.ones(3, 64), "float32"),
        (torch.zeros(3, 64, dtype=torch.bool), "keep at least one"),
    ],
)
def test_masks_that_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        layer_of().set_block_mask(mask)


def test_the_operator_refuses_other_blocks():
    layer = layer_of()
    layer.set_block_mask(random_mask(3, layer.columns))
    parts = layer._parts() | {"blocks": layer.kept_blocks[:2]}
    with pytest.raises(ValueError, match="blocks has shape"):
        Weights((6, 40), **parts)
        winograd_conv3d(
            torch.randn(1, 40, 4, 4, 4, dtype=torch.float64),
            out_channels=6,
            tile=layer.tile,
            **parts,
        )
    with pytest.raises(ValueError, match="give a mask"):
        winograd_conv3d(
            torch.randn(1, 40, 4, 4, 4, dtype=torch.float64),
            out_channels=6,
            tile=layer.tile,
            **(parts | {"blocks": layer.kept_blocks.double()}),
        )


def trained(kind):
    layer = layer_of(kind)
    layer.score_blocks()
    x = torch.randn(2, 40, 3, 5, 5, dtype=torch.float64)
    layer(x).square().sum().backward()
    return layer


@pytest.mark.parametrize("kind", KINDS)
def test_taylor_by_block_adds_up_to_the_column(kind):
    layer = trained(kind)
    gradient = layer.block_gate.grad.clone()
    layer.accumulate_scores("taylor")
    assert layer.block_gate.grad is None
    assert relative(gradient.sum(0), layer.gate * layer.gate.grad) < 1e-8
    assert relative(layer.scores("taylor", "block"), gradient.abs()) < 1e-5
    assert relative(layer.scores("taylor"), (layer.gate * layer.gate.grad).abs()) < 1e-5


def test_taylor_by_block_is_the_change_of_the_loss():
    layer = layer_of("spatial")
    layer.score_blocks()
    x = torch.randn(1, 40, 3, 4, 4, dtype=torch.float64)
    weight = torch.randn_like(layer(x))
    (layer(x) * weight).sum().backward()  # linear in the gates: first order is all there is
    layer.accumulate_scores("taylor")
    mask = torch.ones(3, layer.columns, dtype=torch.bool)
    with torch.no_grad():
        before = (layer(x) * weight).sum()
        scores = layer.scores("taylor", "block")
        mask[1, 7] = False
        layer.set_block_mask(mask, compensate=False)
        change = (layer(x) * weight).sum() - before
    assert abs(change) == pytest.approx(scores[1, 7].item(), rel=1e-4)


def test_factor_by_block_shares_the_column():
    layer = trained("low_rank")
    layer.accumulate_scores("factor")
    found = layer.scores("factor", "block")
    assert relative(found.square().sum(0).sqrt(), layer.scores("factor")) < 1e-5
    assert torch.linalg.matrix_rank(found.double(), rtol=1e-4) == 1


@pytest.mark.parametrize("kind", ["magnitude", "reconstruction"])
def test_scores_of_weights_by_block(kind):
    layer = layer_of("spatial")
    with torch.no_grad():
        layer.weight[:, 16:32] *= 0.01
    found = layer.scores(kind, "block")
    assert found.shape == (3, layer.columns)
    assert found[1].max() < found[0].max() / 50
    if kind == "magnitude":
        assert relative(found.square().sum(0).sqrt(), layer.scores(kind)) < 1e-5
    single = WinogradConv3d(16, 4, 3, parameterization="spatial")
    order = single.scores(kind).argsort(stable=True)
    ranked = single.scores(kind, "block")[0][order]
    assert bool((ranked.diff() >= -1e-6 * ranked.max()).all())


def test_pruned_blocks_keep_their_score_and_scores_start_anew():
    layer = layer_of("spatial")
    x = torch.randn(1, 40, 3, 4, 4, dtype=torch.float64)
    layer(x).square().sum().backward()
    layer.accumulate_scores()
    with pytest.raises(ValueError, match="by block"):
        layer.scores("taylor", "block")
    layer.score_blocks()
    assert int(layer.score_steps) == 0
    layer.zero_grad()
    layer(x).square().sum().backward()
    layer.accumulate_scores()
    held = layer.block_score.clone()
    mask = random_mask(3, layer.columns)
    layer.set_block_mask(mask)
    layer.zero_grad()
    layer(x).square().sum().backward()
    layer.accumulate_scores()
    assert torch.equal(layer.block_score[~mask], held[~mask])
    assert not torch.equal(layer.block_score[mask], held[mask])
    with pytest.raises(ValueError, match="granularity='row'"):
        layer.scores("magnitude", "row")


@pytest.mark.parametrize("budget", ["uniform", "global"])
def test_selection_by_blocks(budget):
    scores = {"a": torch.rand(3, 64), "b": torch.rand(2, 64)}
    masks = select_columns(scores, 0.25, budget)
    assert [masks[n].shape for n in scores] == [(3, 64), (2, 64)]
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    assert pruned == 80
    if budget == "uniform":
        assert int((~masks["a"]).sum()) == 48
        assert scores["a"][masks["a"]].min() >= scores["a"][~masks["a"]].max()


def test_blocks_lose_less_of_uneven_channels_than_columns():
    """Where some channels carry little, blocks prune those and leave the others whole."""
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(32, 8, 3, padding=1, bias=False)
    x = F.avg_pool3d(torch.randn(1, 32, 12, 20, 20), 5, stride=1, padding=2)
    with torch.no_grad():
        conv.weight[:, 16:] *= 0.05
        y, errors = conv(x).double(), {}
        for granularity in ("column", "block"):
            layer = WinogradConv3d.from_conv(conv, parameterization="spatial")
            scores = {"": layer.scores("reconstruction", granularity)}
            layer.set_mask(select_columns(scores, 0.5)[""])
            assert layer.columns_multiplied == pytest.approx(72)
            errors[granularity] = relative(layer(x), y)
    assert errors["block"] < 0.5 * errors["column"]


def test_reference_alone_takes_blocks():
    layer = layer_of("spatial")
    layer.set_block_mask(random_mask(3, layer.columns))
    x = torch.randn(1, 40, 3, 4, 4, dtype=torch.float64)
    weights = Weights((6, 40), **layer._parts())
    y = reference.forward(x, weights, layer.bias, layer.tile, layer.pads)
    assert relative(y, by_hand(layer, x, layer.winograd_weight())) < 1e-12
