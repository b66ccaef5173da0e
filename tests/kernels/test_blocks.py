"""The CPU kernel with columns pruned by blocks of channels, against the reference in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.kernels import native, packed
from videowino.kernels.cpu import backward, forward
from videowino.kernels.problem import make_problem
from videowino.winograd import Tile, WinogradConv3d, reference
from videowino.winograd.blocks import block_count
from videowino.winograd.finish import Finish
from videowino.winograd.transforms import filter_matrix
from videowino.winograd.weights import Weights

F244 = Tile((2, 4, 4), (3, 3, 3))
pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
KINDS = ["spatial", "winograd", "own rows", "gates by block", "low rank"]


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-30)).item()


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@st.composite
def problems(draw):
    taps = tuple(draw(st.sampled_from([1, 2, 3])) for _ in range(3))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(6))
    size = tuple(
        draw(st.integers(max(1, r - padding[2 * i] - padding[2 * i + 1]), r + 8))
        for i, r in enumerate(taps)
    )
    stride = draw(st.sampled_from([(1, 1, 1), (1, 1, 1), (2, 2, 2), (1, 2, 2)]))
    return {
        "tile": Tile(tuple(draw(st.integers(1, 5)) for _ in range(3)), taps, stride=stride),
        "padding": padding,
        "shape": (draw(st.integers(1, 3)), draw(st.sampled_from([17, 32, 48, 70, 130])), *size),
        "out_channels": draw(st.sampled_from([1, 16, 33, 80])),
        "kept": draw(st.sampled_from([0.95, 0.5, 0.2, 0.02])),
        "kind": draw(st.sampled_from(KINDS)),
        "channels_last": draw(st.booleans()),
        "threads": draw(st.sampled_from([1, 2])),
    }


def weights_of(problem):
    """Random ones: each block keeps columns of its own."""
    tile, (_, ins, *_), outs = problem["tile"], problem["shape"], problem["out_channels"]
    kind, count = problem["kind"], block_count(problem["shape"][1])
    mask = torch.rand(count, tile.positions) < problem["kept"]
    mask[torch.randint(count, ()), torch.randint(tile.positions, ())] = True
    columns = mask.any(0).nonzero().flatten()
    parts = {"gate": torch.rand(tile.positions) + 0.5}
    if kind == "gates by block":
        parts["gate"] = torch.rand(count, tile.positions) + 0.5
    if kind == "winograd":
        # As a layer has it in memory, and as anyone else might.
        u = torch.randn(tile.positions, outs, ins).permute(1, 2, 0)
        parts["winograd"] = u if ins % 2 else u.contiguous()
    else:
        parts["spatial"] = torch.randn(outs, ins, *tile.taps)
    if kind == "own rows":
        k = filter_matrix(tile, torch.float32, torch.device("cpu"))[columns]
        parts["transform"] = k * torch.rand(count, len(columns), 1)
        parts["left"] = torch.randn(outs * ins, 3)
        parts["right"] = torch.randn(count, 3, len(columns))
    elif kind == "low rank":
        parts |= {"left": torch.randn(outs * ins, 3), "right": torch.randn(3, tile.positions)}
    return Weights((outs, ins), **parts, columns=columns, blocks=mask[:, columns])


def clip_of(problem, shape):
    x = torch.randn(shape)
    return x.to(memory_format=torch.channels_last_3d) if problem["channels_last"] else x


@settings(max_examples=100, deadline=None)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_equals_the_reference_in_float64(problem, seed):
    torch.manual_seed(seed)
    torch.set_num_threads(problem["threads"])
    tile, padding = problem["tile"], problem["padding"]
    x, weights = clip_of(problem, problem["shape"]), weights_of(problem)
    bias, double = torch.randn(problem["out_channels"]), weights.to(torch.float64)
    y = forward(x, weights, bias, tile, padding)
    exact = reference.forward(x.double(), double, bias.double(), tile, padding)
    assert relative(y, exact) < 2e-4
    grad = clip_of(problem, y.shape)
    need = {"x", "gate", "bias"}
    need |= {n for n in ("spatial", "winograd", "left", "right") if getattr(weights, n) is not None}
    found = backward(grad, x, weights, tile, padding, frozenset(need))
    wanted = reference.backward(grad.double(), x.double(), double, tile, padding, frozenset(need))
    sums = {"gate": exact.norm() * grad.double().norm() / exact.numel() ** 0.5}
    for name in need:
        a, b = getattr(found, name), getattr(wanted, name)
        scale = max(b.norm(), sums.get(name, b.norm()), torch.tensor(1e-3))
        assert a.shape == b.shape
        assert ((a.double() - b).norm() / scale).item() < 2e-4, name


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bits", [32, 16])
def test_all_blocks_kept_is_what_columns_give(threads, bits):
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    x, columns = torch.randn(2, 40, 5, 9, 9), torch.arange(0, 144, 3)
    plain = Weights((48, 40), spatial=torch.randn(48, 40, 3, 3, 3), columns=columns)
    kept = torch.ones(3, len(columns), dtype=torch.bool)
    blocks = Weights((48, 40), spatial=plain.spatial, columns=columns, blocks=kept)
    finish = Finish(relu=True, weight_bits=bits)
    assert torch.equal(
        forward(x, blocks, None, F244, (1,) * 6, finish),
        forward(x, plain, None, F244, (1,) * 6, finish),
    )
    need = frozenset({"x", "spatial"})
    grad = torch.randn(2, 48, 5, 9, 9)
    one, other = (backward(grad, x, w, F244, (1,) * 6, need) for w in (blocks, plain))
    assert relative(one.x, other.x) < 1e-6 and relative(one.spatial, other.spatial) < 1e-6


@pytest.mark.parametrize("kind", KINDS[:2])
def test_sixteen_bits(kind):
    torch.manual_seed(0)
    problem = {"tile": F244, "shape": (1, 70, 4, 8, 8), "out_channels": 33, "kept": 0.5}
    weights, x = weights_of(problem | {"kind": kind}), torch.randn(1, 70, 4, 8, 8)
    finish = Finish(weight_bits=16)
    y = forward(x, weights, None, F244, (1,) * 6, finish)
    exact = reference.forward(x.double(), weights.to(torch.float64), None, F244, (1,) * 6, finish)
    assert relative(y, exact) < 1e-4


@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank", "factored"])
def test_a_layer_s_kept_call_follows_its_blocks(parameterization):
    torch.manual_seed(0)
    layer = WinogradConv3d(40, 24, 3, padding=1, parameterization=parameterization, rank=8).eval()
    x = torch.randn(1, 40, 4, 8, 8)
    for seed in range(3):
        torch.manual_seed(seed)
        layer.set_block_mask(torch.rand(3, layer.columns) < 0.9 - 0.2 * seed)
        exact = reference.forward(
            x.double(),
            Weights((24, 40), **layer._parts()).to(torch.float64),
            layer.bias.double(),
            layer.tile,
            layer.pads,
        )
        with torch.no_grad():
            for _ in range(3):  # the second is prepared, the third by what is kept
                assert relative(layer(x), exact) < 1e-4
        assert relative(layer(x).detach(), exact) < 1e-4


@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank", "factored"])
def test_a_weight_is_packed_once(parameterization, monkeypatch):
    torch.manual_seed(0)
    layer = WinogradConv3d(40, 24, 3, padding=1, parameterization=parameterization, rank=8).eval()
    if parameterization == "low_rank":
        torch.nn.init.normal_(layer.left, std=0.1)
    layer.set_block_mask(torch.rand(3, layer.columns) < 0.5)
    x, count, pack = torch.randn(1, 40, 4, 8, 8), [], packed.pack
    monkeypatch.setattr(packed, "pack", lambda *args: count.append(1) or pack(*args))
    with torch.no_grad():
        first = [layer(x) for _ in range(3)][-1]
        so_far = len(count)
        assert torch.equal(layer(x), first) and len(count) == so_far
        trained = layer.weight if layer.right is None else layer.right
        trained.data *= 2  # which no version tells
        assert relative(layer(x), first) > 0.01


def test_the_packed_weight_holds_kept_blocks_alone():
    library = native.library()
    arguments = (1, 64, 4, 8, 8), (4, 8, 8), (False, False), 64, None, F244, (1,) * 6, 1, 32
    whole = library.vw_packed_bytes(make_problem(*arguments))
    mask = torch.zeros(4, 144, dtype=torch.bool)
    mask[0] = True
    mask[2, :72] = True
    half = library.vw_packed_bytes(make_problem(*arguments, mask.numpy().tobytes()))
    assert half * 8 == whole * 3


def test_a_kept_column_without_blocks_is_refused():
    weights = Weights(
        (4, 32),
        spatial=torch.randn(4, 32, 3, 3, 3),
        columns=torch.tensor([1, 5]),
        blocks=torch.tensor([[True, False], [True, False]]),
    )
    with pytest.raises(ValueError, match="column 1 is kept in no block"):
        forward(torch.randn(1, 32, 4, 4, 4), weights, None, F244, (0,) * 6)


@pytest.mark.parametrize("isa", ["avx2", "baseline"])
def test_other_instruction_sets(isa, run_on):
    code = (
        "import tests.kernels.test_blocks as t, torch\n"
        "for seed in range(12):\n"
        "    torch.manual_seed(seed)\n"
        "    p = {'tile': t.F244, 'shape': (1, 70, 4, 7, 9), 'out_channels': 33, 'kept': 0.4,\n"
        "         'kind': t.KINDS[seed % 5]}\n"
        "    w, x = t.weights_of(p), torch.randn(1, 70, 4, 7, 9)\n"
        "    y = t.forward(x, w, None, t.F244, (1,) * 6)\n"
        "    d = w.to(torch.float64)\n"
        "    exact = t.reference.forward(x.double(), d, None, t.F244, (1,) * 6)\n"
        "    assert t.relative(y, exact) < 1e-4, seed\n"
        "    need = frozenset({'x', 'gate'})\n"
        "    g = torch.randn(y.shape)\n"
        "    a = t.backward(g, x, w, t.F244, (1,) * 6, need)\n"
        "    b = t.reference.backward(g.double(), x.double(), d, t.F244, (1,) * 6, need)\n"
        "    assert t.relative(a.x, b.x) < 1e-4, seed\n"
        "    assert t.relative(a.gate, b.gate) < 1e-3, seed\n"
    )
    run_on(isa, code)
