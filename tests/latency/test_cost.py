import pytest
import torch

from videowino.latency.cost import LayerCost, counts, fit_cost
from videowino.latency.measure import sample_masks

ALPHA = (4, 6, 6)


def test_lines_are_heights_and_widths_at_any_depth():
    mask = torch.zeros(ALPHA, dtype=torch.bool)
    mask[0, 2, 3] = mask[3, 2, 3] = mask[1, 5, 0] = True
    assert counts(mask.flatten(), ALPHA) == (3, 2)
    cost = LayerCost(ALPHA, fixed=1.0, column=0.25, line=2.0)
    assert cost.ms(mask.flatten()) == 1.0 + 3 * 0.25 + 2 * 2.0
    assert cost.columns == 144


@pytest.mark.parametrize("parts", [(0.4, 0.01, 0.02), (0.0, 0.01, 0.0), (0.3, 0.0, 0.02)])
def test_the_fit_finds_what_made_the_times(parts):
    masks = list(sample_masks(ALPHA).values())
    wanted = LayerCost(ALPHA, *parts)
    found = fit_cost(ALPHA, masks, [wanted.ms(mask) for mask in masks])
    assert (found.fixed, found.column, found.line) == pytest.approx(parts, abs=1e-9)


def test_no_part_is_negative_where_the_times_would_have_it_so():
    masks = list(sample_masks(ALPHA).values())
    times = [1.0 - 0.002 * counts(mask, ALPHA)[1] + 0.01 * int(mask.sum()) for mask in masks]
    found = fit_cost(ALPHA, masks, times)
    assert found.line == 0.0 and found.column > 0 and found.fixed > 0


def test_sample_masks_tell_columns_from_lines():
    found = {name: counts(mask, ALPHA) for name, mask in sample_masks(ALPHA).items()}
    assert found["all"] == (144, 36)
    assert found["0.25 lines"] == (36, 9)
    assert found["0.25 scattered"][0] == 36 and found["0.25 scattered"][1] > 20
