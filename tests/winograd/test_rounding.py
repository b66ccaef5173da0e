import pytest
import torch
import torch.nn.functional as F

from benchmarks.points import USES, best, estimates
from videowino.winograd import cook_toom, fit_tile, winograd_conv3d
from videowino.winograd.points import default_points
from videowino.winograd.rounding import amplification, rounding_error


@pytest.mark.parametrize(
    ("tile", "taps"),
    [
        ((2, 4, 4), (3, 3, 3)),
        (6, (3, 3, 3)),
        ((2, 4, 4), (1, 3, 3)),
        ((2, 4, 4), (5, 5, 5)),
        ((2, 4, 4), (7, 7, 7)),
        (6, (7, 7, 7)),
    ],
)
def test_the_estimate_is_near_what_is_measured(tile, taps):
    fitted = fit_tile(tile, taps)
    x = torch.randn(1, 4, 9, 16, 16, dtype=torch.float64)
    weight = torch.randn(4, 4, *taps, dtype=torch.float64)
    exact = F.conv3d(x, weight)
    y = winograd_conv3d(x.float(), out_channels=4, tile=fitted, spatial=weight.float())
    error = ((y.double() - exact).norm() / exact.norm()).item()
    assert 0.4 < error / rounding_error(fitted) < 2


def test_trivial_axes_amplify_nothing():
    assert amplification(cook_toom(4, 1)) == amplification(cook_toom(1, 7)) == 1
    assert amplification(cook_toom(6, 3)) > amplification(cook_toom(4, 3)) > 1


def test_the_benchmark_estimates_the_same_for_many_sets():
    for count, (m, taps) in USES.items():
        points = default_points(count)
        (found,) = estimates(m, taps, torch.tensor([[float(p) for p in points]]).double())
        assert found.item() == pytest.approx(amplification(cook_toom(m, taps)), rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 9])
def test_default_points_are_the_best_of_the_search(count):
    assert set(best(*USES[count])) == set(default_points(count))


@pytest.mark.slow
@pytest.mark.parametrize("count", [8, 10, 11])
def test_default_points_are_the_best_of_a_longer_search(count):
    assert set(best(*USES[count])) == set(default_points(count))
