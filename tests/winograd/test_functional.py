"""The operator against conv3d in float64: values, gradients, memory, compilation."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.winograd import Tile, fit_tile, winograd_conv3d
from videowino.winograd.operator import _winograd_conv3d
from videowino.winograd.padding import normalize_padding
from videowino.winograd.transforms import filter_matrix

F244 = Tile((2, 4, 4), (3, 3, 3))


def conv3d(x, weight, bias, padding, taps):
    d0, d1, h0, h1, w0, w1 = normalize_padding(padding, taps)
    return F.conv3d(F.pad(x, (w0, w1, h0, h1, d0, d1)), weight, bias)


def relative(a, b):
    return ((a - b).norm() / b.norm().clamp_min(1e-30)).item()


@st.composite
def problems(draw):
    small = st.integers(1, 4)
    taps = tuple(draw(st.sampled_from([1, 2, 3, 4, 5, 7])) for _ in range(3))
    m = tuple(draw(st.integers(1, 6)) for _ in range(3))
    padding = draw(
        st.one_of(
            st.just("same"),
            st.integers(0, 2),
            st.tuples(*[st.integers(0, 3)] * 6),
        )
    )
    pads = normalize_padding(padding, taps)
    size = tuple(
        draw(st.integers(max(1, r - pads[2 * i] - pads[2 * i + 1]), r + 5))
        for i, r in enumerate(taps)
    )
    return draw(small), draw(small), draw(small), size, taps, m, padding, draw(st.booleans())


@settings(max_examples=40, deadline=None)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_equals_conv3d_in_value_and_gradient(problem, seed):
    n, c_in, c_out, size, taps, m, padding, with_bias = problem
    torch.manual_seed(seed)
    tile = fit_tile(m, taps)
    x = torch.randn(n, c_in, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(c_out, c_in, *taps, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(c_out, dtype=torch.float64, requires_grad=True) if with_bias else None
    y = winograd_conv3d(
        x, out_channels=c_out, tile=tile, spatial=weight, bias=bias, padding=padding
    )
    expected = conv3d(x, weight, bias, padding, taps)
    assert y.shape == expected.shape
    assert relative(y, expected) < 1e-9
    inputs = [x, weight] + ([bias] if with_bias else [])
    upstream = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(y, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        assert relative(ours, theirs) < 1e-9


@pytest.mark.parametrize(
    ("m", "limit"), [((2, 2, 2), 1e-6), ((2, 4, 4), 3e-6), ((4, 4, 4), 6e-6), ((6, 6, 6), 4e-5)]
)
def test_float32_error_stays_small(m, limit):
    x = torch.randn(1, 64, 6, 14, 14, dtype=torch.float64)
    weight = torch.randn(8, 64, 3, 3, 3, dtype=torch.float64)
    y = winograd_conv3d(
        x.float(),
        out_channels=8,
        tile=Tile(m, (3, 3, 3)),
        spatial=weight.float(),
        padding=1,
    )
    assert relative(y.double(), F.conv3d(x, weight, padding=1)) < limit


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 1e-3), (torch.bfloat16, 6e-3)])
def test_sixteen_bit_input_is_computed_in_float32(dtype, limit):
    x = torch.randn(2, 16, 4, 8, 8).to(dtype)
    weight = torch.randn(8, 16, 3, 3, 3).to(dtype)
    y = winograd_conv3d(x, out_channels=8, tile=F244, spatial=weight, padding=1)
    assert y.dtype == dtype
    assert relative(y.double(), F.conv3d(x.double(), weight.double(), padding=1)) < limit


def test_autocast_casts_as_conv3d_does():
    x, weight = torch.randn(1, 3, 4, 6, 6), torch.randn(2, 3, 3, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = winograd_conv3d(x, out_channels=2, tile=F244, spatial=weight)
        assert y.dtype == F.conv3d(x, weight).dtype == torch.bfloat16
    y.float().sum().backward()
    assert weight.grad.dtype == torch.float32


def parts(kept=None, c_in=2, c_out=3, tile=F244):
    """All parts of a Winograd weight at once, in float64."""

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    return {
        "spatial": leaf(c_out, c_in, *tile.taps),
        "winograd": leaf(c_out, c_in, tile.positions),
        "left": leaf(c_out * c_in, 2),
        "right": leaf(2, tile.positions),
        "gate": leaf(tile.positions),
        "bias": leaf(c_out),
    }


def test_weight_is_the_gated_sum_of_its_parts():
    p = parts()
    x = torch.randn(1, 2, 4, 6, 7, dtype=torch.float64)
    k = filter_matrix(F244, torch.float64, torch.device("cpu"))
    u = p["spatial"].flatten(2) @ k.T + p["winograd"]
    u = (u + (p["left"] @ p["right"]).reshape(3, 2, -1)) * p["gate"]
    together = winograd_conv3d(x, out_channels=3, tile=F244, padding=1, **p)
    alone = winograd_conv3d(x, out_channels=3, tile=F244, padding=1, winograd=u, bias=p["bias"])
    torch.testing.assert_close(together, alone)


def test_pruned_columns_are_columns_of_zeros():
    p = parts()
    x = torch.randn(2, 2, 3, 5, 9, dtype=torch.float64)
    columns = torch.tensor([0, 3, 17, 64, 65, 143])
    mask = torch.zeros(144, dtype=torch.float64).index_fill_(0, columns, 1)
    pruned = winograd_conv3d(x, out_channels=3, tile=F244, padding=1, columns=columns, **p)
    gated = winograd_conv3d(
        x, out_channels=3, tile=F244, padding=1, **(p | {"gate": p["gate"] * mask})
    )
    torch.testing.assert_close(pruned, gated)


@pytest.mark.parametrize("columns", [None, torch.tensor([1, 5, 7, 20])])
@pytest.mark.parametrize("transform", [False, True])
def test_gradcheck_of_every_argument(columns, transform):
    tile = Tile((2, 1, 2), (2, 3, 3))
    p = parts(tile=tile)
    x = torch.randn(2, 2, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    kept = tile.positions if columns is None else len(columns)
    k = torch.randn(kept, 18, dtype=torch.float64) if transform else None
    names = list(p)

    def function(x, *values):
        given = dict(zip(names, values, strict=True))
        return winograd_conv3d(
            x, out_channels=3, tile=tile, padding=1, columns=columns, transform=k, **given
        )

    assert torch.autograd.gradcheck(function, (x, *p.values()), fast_mode=True)


@pytest.mark.parametrize(("residual", "relu", "bits"), [(False, False, 32), (True, True, 16)])
def test_opcheck(residual, relu, bits):
    p = parts()
    x = torch.randn(1, 2, 4, 6, 7, dtype=torch.float64, requires_grad=True)
    added = torch.randn(1, 3, 4, 6, 7, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(
        _winograd_conv3d,
        (
            x, p["spatial"], None, p["winograd"], p["left"], p["right"], p["gate"],
            torch.arange(0, 144, 3), torch.ones(1, 48, dtype=torch.bool), p["bias"],
            added if residual else None,
            3, [2, 4, 4], [3, 3, 3], [1, 1, 1], "", [1] * 6, relu, bits, True,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_residual_and_relu(dtype, layout):
    x = torch.randn(2, 5, 4, 7, 6, dtype=dtype).to(memory_format=layout).requires_grad_()
    weight = torch.randn(18, 5, 3, 3, 3, dtype=dtype, requires_grad=True)
    bias = torch.randn(18, dtype=dtype, requires_grad=True)
    residual = torch.randn(2, 18, 4, 7, 6, dtype=dtype, requires_grad=True)
    leaves = [x, weight, bias, residual]
    y = winograd_conv3d(
        x, out_channels=18, tile=F244, spatial=weight, bias=bias, padding=1, residual=residual,
        relu=True,
    )  # fmt: skip
    expected = F.relu(F.conv3d(x, weight, bias, padding=1) + residual)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    slope = torch.randn_like(y)
    for ours, theirs in zip(
        torch.autograd.grad(y, leaves, slope),
        torch.autograd.grad(expected, leaves, slope),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_gradcheck_of_residual_and_relu():
    x, residual = (
        torch.randn(1, c, 2, 3, 5, dtype=torch.float64, requires_grad=True) for c in (2, 3)
    )
    weight = torch.randn(3, 2, 3, 3, 3, dtype=torch.float64)

    def function(x, residual):
        return winograd_conv3d(
            x, out_channels=3, tile=F244, spatial=weight, padding=1, residual=residual, relu=True
        )

    assert torch.autograd.gradcheck(function, (x, residual), fast_mode=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": torch.zeros(1, 3, 4, 6, 6)}, r"residual has shape .*; the result has"),
        ({"weight_bits": 8}, "weight_bits=8 is unknown; choose 32 or 16"),
    ],
)
def test_misuse_of_the_finish(options, message):
    x, weight = torch.randn(1, 2, 4, 6, 7), torch.randn(3, 2, 3, 3, 3)
    with pytest.raises(ValueError, match=message):
        winograd_conv3d(x, out_channels=3, tile=F244, spatial=weight, padding=1, **options)


def kept_for_backward(function):
    """Bytes that autograd keeps of non-leaf tensors and leaves alike, each storage once."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(storages.values())


def test_autograd_keeps_no_more_than_conv3d():
    x = torch.randn(2, 8, 6, 12, 12, requires_grad=True)
    weight = torch.randn(8, 8, 3, 3, 3, requires_grad=True)
    bias = torch.randn(8, requires_grad=True)
    ours = kept_for_backward(
        lambda: winograd_conv3d(x, out_channels=8, tile=F244, spatial=weight, bias=bias, padding=1)
    )
    theirs = kept_for_backward(lambda: F.conv3d(x, weight, bias, padding=1))
    assert ours <= theirs + bias.nbytes  # conv3d has no use for its bias in backward


def test_large_batches_are_computed_in_groups(monkeypatch):
    x = torch.randn(5, 2, 3, 6, 6, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, 3, requires_grad=True)

    def run():
        y = winograd_conv3d(x, out_channels=3, tile=F244, spatial=weight, padding=1)
        return y, *torch.autograd.grad(y.square().sum(), [x, weight])

    whole = run()
    monkeypatch.setattr("videowino.winograd.reference._GROUP_ELEMENTS", 144 * 8 * 3 * 2)
    for one, other in zip(whole, run(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_one_thread_gives_what_two_give():
    x, weight = torch.randn(2, 4, 4, 9, 9), torch.randn(4, 4, 3, 3, 3)
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(winograd_conv3d(x, out_channels=4, tile=F244, spatial=weight))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": torch.randn(2, 4, 6, 6)}, "expected N C D H W"),
        ({"spatial": None}, "no weight: give spatial, winograd, or left and right"),
        ({"left": torch.randn(6, 2)}, "left and right belong together"),
        ({"spatial": torch.randn(3, 2, 3, 3, 1)}, r"spatial has shape \(3, 2, 3, 3, 1\)"),
        ({"gate": torch.ones(7)}, r"gate has shape \(7,\); F\(2x4x4, 3x3x3\) expects \(144,\)"),
        ({"padding": (1, 2)}, r"padding=\(1, 2\) is not one, three or six whole numbers"),
        ({"padding": "reflect"}, "padding='reflect' is not one, three or six whole numbers"),
        ({"x": torch.randn(1, 2, 2, 6, 6)}, "smaller than the kernel"),
    ],
)
def test_misuse(change, match):
    arguments = {
        "x": torch.randn(1, 2, 4, 6, 6),
        "out_channels": 3,
        "tile": F244,
        "spatial": torch.randn(3, 2, 3, 3, 3),
    } | change
    with pytest.raises(ValueError, match=match):
        winograd_conv3d(arguments.pop("x"), **arguments)


def test_padding_spellings():
    assert normalize_padding("same", (3, 2, 7)) == (1, 1, 0, 1, 3, 3)
    assert normalize_padding("valid", (3, 3, 3)) == (0,) * 6
    assert normalize_padding((1, 2, 3), (3, 3, 3)) == (1, 1, 2, 2, 3, 3)


def test_memory_layout_of_the_input_is_kept():
    x = torch.randn(2, 4, 4, 6, 6).to(memory_format=torch.channels_last_3d).requires_grad_()
    weight = torch.randn(3, 4, 3, 3, 3)
    y = winograd_conv3d(x, out_channels=3, tile=F244, spatial=weight, padding=1)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last_3d)
    twin = x.detach().contiguous().requires_grad_()
    other = winograd_conv3d(twin, out_channels=3, tile=F244, spatial=weight, padding=1)
    assert other.is_contiguous()
    torch.testing.assert_close(y, other)
    torch.testing.assert_close(grad, torch.autograd.grad(other.square().sum(), twin)[0])
