"""The CPU kernel against conv3d in float64 and against the reference, however it is called."""

import os
import threading
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.kernels import native
from videowino.kernels.cpu import backward, forward, takes
from videowino.winograd import Tile, WinogradConv3d, reference, winograd_conv3d
from videowino.winograd.finish import Finish, rounded
from videowino.winograd.weights import Weights

F244, F444 = (Tile((m, 4, 4), (3, 3, 3)) for m in (2, 4))
built = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
pytestmark = built


def relative(a, b):
    return ((a.double() - b).norm() / b.norm().clamp_min(1e-30)).item()


def errors(found, expected, need, y, grad):
    """Relative errors of gradients by name.

    A gate's is a sum of products of `y` and `grad` that may all but cancel: its error is seen
    against what such a sum comes to.
    """
    sums = {"gate": y.norm() * grad.double().norm() / y.numel() ** 0.5}
    result = {}
    for name in need:
        a, b = getattr(found, name), getattr(expected, name)
        assert a.shape == b.shape
        scale = torch.stack([b.norm(), sums.get(name, b.norm())]).max().clamp_min(1e-3)
        result[name] = ((a.double() - b).norm() / scale).item()
    return result


def tolerance(tile):
    """Of float32: 1e-5 for F(2,4,4), 5e-5 for F(4,4,4), and as the transforms grow beyond."""
    return 1e-5 if max(tile.m) < 4 or tile.m[0] < 4 else 5e-5 if max(tile.m) == 4 else 5e-4


@st.composite
def problems(draw):
    taps = tuple(draw(st.sampled_from([1, 2, 3, 4])) for _ in range(3))
    m = tuple(draw(st.integers(1, 9 - max(r, 3))) for r in taps)
    padding = tuple(draw(st.integers(0, 3)) for _ in range(6))
    size = tuple(
        draw(st.integers(max(1, r - padding[2 * i] - padding[2 * i + 1]), r + 9))
        for i, r in enumerate(taps)
    )
    channels = st.sampled_from([1, 3, 8, 16, 17, 33, 48, 80])
    return {
        "tile": Tile(m, taps),
        "padding": padding,
        "shape": (draw(st.integers(1, 3)), draw(channels), *size),
        "out_channels": draw(channels),
        "kept": draw(st.sampled_from([1.0, 0.7, 0.5, 0.25, 0.05, 0.0])),
        "channels_last": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "threads": draw(st.sampled_from([1, 2])),
    }


def make(problem):
    tile, shape, out = problem["tile"], problem["shape"], problem["out_channels"]
    x = torch.randn(shape)
    if problem["channels_last"]:
        x = x.to(memory_format=torch.channels_last_3d)
    spatial = torch.randn(out, shape[1], *tile.taps)
    columns = None
    if problem["kept"] < 1:
        count = max(1, round(problem["kept"] * tile.positions))
        columns = torch.randperm(tile.positions)[:count].sort().values
    bias = torch.randn(out) if problem["bias"] else None
    return x, Weights((out, shape[1]), spatial=spatial, columns=columns), bias


@pytest.fixture
def threads():
    """Sets the number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@settings(max_examples=150, deadline=None)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_equals_float64(problem, seed):
    torch.manual_seed(seed)
    x, weights, bias = make(problem)
    tile, padding = problem["tile"], problem["padding"]
    before = torch.get_num_threads()
    torch.set_num_threads(problem["threads"])
    try:
        y = forward(x, weights, bias, tile, padding)
    finally:
        torch.set_num_threads(before)
    exact = None if bias is None else bias.double()
    if weights.columns is None:
        d0, d1, h0, h1, w0, w1 = padding
        padded = F.pad(x.double(), (w0, w1, h0, h1, d0, d1))
        expected = F.conv3d(padded, weights.spatial.double(), exact)
    else:
        double = weights.to(torch.float64)
        expected = reference.forward(x.double(), double, exact, tile, padding)
    assert y.shape == expected.shape
    assert y.is_contiguous(memory_format=reference.memory_layout(x))
    assert relative(y, expected) < tolerance(tile)


@settings(max_examples=60, deadline=None)
@given(
    problem=problems(),
    seed=st.integers(0, 2**20),
    added=st.booleans(),
    relu=st.booleans(),
    bits=st.sampled_from([16, 32]),
)
def test_finish_equals_the_reference(problem, seed, added, relu, bits):
    """Residual and ReLU, and weights in sixteen bits: rounded as the reference rounds them."""
    torch.manual_seed(seed)
    x, weights, bias = make(problem)
    tile, padding = problem["tile"], problem["padding"]
    size = reference.output_size(x.shape, tile, padding)
    residual = torch.randn(x.shape[0], weights.channels[0], *size) if added else None
    before = torch.get_num_threads()
    torch.set_num_threads(problem["threads"])
    try:
        y = forward(x, weights, bias, tile, padding, Finish(residual, relu, bits))
    finally:
        torch.set_num_threads(before)
    u = weights.packed(tile)  # in float32: else a value may round to the other side
    u = rounded(u) if bits == 16 else u
    exact = Weights(
        weights.channels,
        winograd=weights.spread(u.double().permute(1, 2, 0), 2, tile.positions),
        columns=weights.columns,
    )
    expected = reference.forward(
        x.double(),
        exact,
        None if bias is None else bias.double(),
        tile,
        padding,
        Finish(None if residual is None else residual.double(), relu),
    )
    scale = expected.norm().clamp_min(1e-3)
    allowed = tolerance(tile) + (1e-3 if bits == 16 else 0)
    assert ((y.double() - expected).norm() / scale).item() < allowed


@settings(max_examples=100, deadline=None)
@given(
    problem=problems(),
    seed=st.integers(0, 2**20),
    asked=st.sampled_from([{"x"}, {"winograd"}, {"x", "winograd", "gate", "bias"}]),
)
def test_gradients_equal_float64(problem, seed, asked):
    torch.manual_seed(seed)
    x, weights, bias = make(problem)
    tile, padding = problem["tile"], problem["padding"]
    channels = weights.channels
    weights = Weights(
        channels,
        winograd=torch.randn(*channels, tile.positions),
        gate=torch.rand(tile.positions) + 0.5,
        columns=weights.columns,
    )
    size = reference.output_size(x.shape, tile, padding)
    grad = torch.randn(x.shape[0], channels[0], *size)
    before = torch.get_num_threads()
    torch.set_num_threads(problem["threads"])
    try:
        found = backward(grad, x, weights, tile, padding, frozenset(asked))
    finally:
        torch.set_num_threads(before)
    exact = weights.to(torch.float64)
    expected = reference.backward(grad.double(), x.double(), exact, tile, padding, frozenset(asked))
    assert {name for name, part in vars(found).items() if part is not None} == set(asked)
    y = reference.forward(x.double(), exact, None, tile, padding)
    for name, error in errors(found, expected, asked, y, grad).items():
        assert error < 10 * tolerance(tile), name


KINDS = {
    "spatial": ("spatial",),
    "vanilla": ("winograd",),
    "low_rank": ("spatial", "left", "right"),
    "factored": ("left", "right"),
    "all": ("spatial", "winograd", "left", "right"),
}


@settings(max_examples=100, deadline=None)
@given(
    problem=problems(),
    seed=st.integers(0, 2**20),
    kind=st.sampled_from(sorted(KINDS)),
    rank=st.sampled_from([1, 8, 20]),
)
def test_every_parameterization_equals_float64(problem, seed, kind, rank):
    torch.manual_seed(seed)
    x, given_weights, _ = make(problem)
    tile, padding, channels = problem["tile"], problem["padding"], given_weights.channels
    pairs = channels[0] * channels[1]
    everything = {
        "spatial": given_weights.spatial,
        "winograd": torch.randn(*channels, tile.positions),
        "left": torch.randn(pairs, rank),
        "right": torch.randn(rank, tile.positions),
    }
    names = KINDS[kind]
    weights = Weights(
        channels,
        **{name: everything[name] for name in names},
        gate=torch.rand(tile.positions) + 0.5,
        columns=given_weights.columns,
    )
    size = reference.output_size(x.shape, tile, padding)
    grad = torch.randn(x.shape[0], channels[0], *size)
    need = frozenset({"x", "gate", *names})
    before = torch.get_num_threads()
    torch.set_num_threads(problem["threads"])
    try:
        y = forward(x, weights, None, tile, padding)
        found = backward(grad, x, weights, tile, padding, need)
    finally:
        torch.set_num_threads(before)
    exact, wide = weights.to(torch.float64), x.double()
    wanted = reference.forward(wide, exact, None, tile, padding)
    assert relative(y, wanted) < 10 * tolerance(tile)
    expected = reference.backward(grad.double(), wide, exact, tile, padding, need)
    for name, error in errors(found, expected, need, wanted, grad).items():
        assert error < 10 * tolerance(tile), name


@pytest.mark.parametrize("channels", [(64, 64), (256, 96), (100, 260)])
def test_gradients_of_wide_layers(channels, threads):
    """More than one block, and two threads that meet between the steps."""
    threads(2)
    c_in, c_out = channels
    x = torch.randn(2, c_in, 8, 30, 30).to(memory_format=torch.channels_last_3d)
    weight = torch.randn(c_out, c_in, 3, 3, 3)
    grad = torch.randn(2, c_out, 8, 30, 30)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    y = winograd_conv3d(x, out_channels=c_out, tile=F444, spatial=weight, padding=1)
    found = torch.autograd.grad(y, leaves, grad)
    again = torch.autograd.grad(
        winograd_conv3d(x, out_channels=c_out, tile=F444, spatial=weight, padding=1), leaves, grad
    )
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = torch.autograd.grad(F.conv3d(*exact, padding=1), exact, grad.double())
    for a, b, c in zip(found, expected, again, strict=True):
        assert relative(a, b) < 5e-5
        assert torch.equal(a, c)  # sums are made in one order


@pytest.mark.parametrize("channels", [(64, 64), (256, 96), (100, 260)])
@pytest.mark.parametrize("tile", [F244, F444], ids=str)
def test_wide_layers_share_blocks_between_threads(channels, tile, threads):
    """Wide enough that the weight is beyond the caches, with more than one block."""
    threads(2)
    c_in, c_out = channels
    x = torch.randn(2, c_in, 8, 30, 30).to(memory_format=torch.channels_last_3d)
    weight = torch.randn(c_out, c_in, 3, 3, 3)
    y = winograd_conv3d(x, out_channels=c_out, tile=tile, spatial=weight, padding=1)
    expected = F.conv3d(x.double(), weight.double(), padding=1)
    assert relative(y, expected) < tolerance(tile)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(isa, run_on):
    """In a process of its own: the library chooses once."""
    code = """
import torch, torch.nn.functional as F
from videowino.kernels import native
from videowino.winograd import Tile, winograd_conv3d
print(native.instruction_set())
for c_in, c_out, last in ((3, 17, True), (40, 24, False), (64, 112, True)):
    x, weight = torch.randn(2, c_in, 5, 11, 13), torch.randn(c_out, c_in, 3, 3, 3)
    if last:
        x = x.to(memory_format=torch.channels_last_3d)
    tile = Tile((2, 4, 4), (3, 3, 3))
    y = winograd_conv3d(x, out_channels=c_out, tile=tile, spatial=weight, padding=1)
    exact = F.conv3d(x.double(), weight.double(), padding=1)
    assert ((y - exact).norm() / exact.norm()).item() < 1e-5
"""
    said = run_on(isa, code)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    needed = {"baseline": "", "avx2": "avx2", "avx512": "avx512vl"}[isa]
    expected = isa if needed in flags else "baseline"
    assert said.split() == [expected]


def test_identical_from_run_to_run(threads):
    x, weight = torch.randn(1, 64, 8, 20, 20), torch.randn(96, 64, 3, 3, 3)
    for number in (1, 2):
        threads(number)
        runs = [
            winograd_conv3d(x, out_channels=96, tile=F444, spatial=weight, padding=1)
            for _ in range(3)
        ]
        assert all(torch.equal(runs[0], run) for run in runs)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_value_stays_in_the_tiles_it_is_in(bad):
    x, weight = torch.randn(1, 16, 4, 16, 16), torch.randn(16, 16, 3, 3, 3)
    clean = winograd_conv3d(x, out_channels=16, tile=F244, spatial=weight, padding=1)
    x[0, 3, 1, 9, 9] = bad
    y = winograd_conv3d(x, out_channels=16, tile=F244, spatial=weight, padding=1)
    reached = F.conv3d(x, weight, padding=1).isfinite().logical_not()
    assert not y[reached].isfinite().any()
    near = torch.zeros_like(y, dtype=torch.bool)
    near[:, :, 0:4, 8:12, 8:12] = True
    assert torch.equal(y[~near], clean[~near])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_summed_in_float32(dtype):
    x, weight = torch.randn(1, 24, 4, 9, 9).to(dtype), torch.randn(20, 24, 3, 3, 3).to(dtype)
    y = winograd_conv3d(x, out_channels=20, tile=F244, spatial=weight, padding=1)
    expected = F.conv3d(x.double(), weight.double(), padding=1)
    assert y.dtype == dtype
    assert relative(y, expected) < torch.finfo(dtype).eps


def test_autocast_does_not_reach_inside():
    x, weight = torch.randn(1, 24, 4, 9, 9), torch.randn(20, 24, 3, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = winograd_conv3d(x, out_channels=20, tile=F244, spatial=weight, padding=1)
    expected = F.conv3d(x.bfloat16().double(), weight.double(), padding=1)
    assert y.dtype == torch.bfloat16
    assert relative(y, expected) < torch.finfo(torch.bfloat16).eps


def test_a_strided_clip():
    x = torch.randn(1, 16, 8, 12, 12)[:, :, ::2, 1:]
    weight = torch.randn(16, 16, 3, 3, 3)
    y = winograd_conv3d(x, out_channels=16, tile=F244, spatial=weight, padding=1)
    assert relative(y, F.conv3d(x.double(), weight.double(), padding=1)) < 1e-5


def test_an_empty_batch():
    x, weight = torch.randn(0, 16, 4, 8, 8), torch.randn(8, 16, 3, 3, 3)
    y = winograd_conv3d(x, out_channels=8, tile=F244, spatial=weight, padding=1)
    assert y.shape == (0, 8, 4, 8, 8)


def test_what_it_takes():
    assert takes(torch.float32, F244) and takes(torch.bfloat16, F444)
    assert not takes(torch.float64, F244)
    assert not takes(torch.float32, Tile((2, 2, 2), (5, 3, 3)))
    assert not takes(torch.float32, Tile((4, 4, 4), (3, 3, 3), "0,1,-1,2,3"))


def test_other_points_are_the_references():
    tile = Tile((4, 4, 4), (3, 3, 3), "0,1,-1,2,1/2")
    x, weight = torch.randn(1, 4, 4, 8, 8), torch.randn(4, 4, 3, 3, 3)
    y = winograd_conv3d(x, out_channels=4, tile=tile, spatial=weight, padding=1)
    assert relative(y, F.conv3d(x.double(), weight.double(), padding=1)) < 1e-4


def test_a_size_beyond_counting():
    huge = torch.empty(1, device="meta").expand(2**21, 1, 1, 2**6, 2**6)
    weights = Weights((1, 1), spatial=torch.empty(1, 1, 3, 3, 3))
    with pytest.raises(ValueError, match=r"\(2097152, 1, 1, 64, 64\) is too large"):
        forward(huge, weights, None, F244, (1,) * 6)


def test_two_threads_are_used():
    assert native.library().vw_threads(2) == 2


def test_several_python_threads_at_once():
    layer = WinogradConv3d(32, 48, 3, padding=1, parameterization="spatial").eval()
    clips = [torch.randn(1, 32, 6, 17, 19) for _ in range(4)]
    with torch.no_grad():
        expected = [layer(clip) for clip in clips]
    found: list = [None] * len(clips)

    def work(index):
        with torch.no_grad():
            for _ in range(5):
                found[index] = layer(clips[index])

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(clips))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_fork(threads):
    """OpenMP's threads are gone in the child, which must neither hang nor compute otherwise."""
    threads(2)
    layer = WinogradConv3d(16, 16, 3, padding=1, parameterization="spatial").eval()
    x = torch.randn(1, 16, 4, 12, 12)
    with torch.no_grad():
        expected = layer(x)
        child = os.fork()
        if child == 0:
            os._exit(0 if torch.equal(layer(x), expected) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
