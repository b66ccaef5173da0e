import pytest
import torch

from videowino.latency import LayerCost, select_by_cost
from videowino.latency.cost import counts

ALPHA = (2, 2, 2)  # columns 0-3 at depth 0, 4-7 at depth 1; a line is p and p + 4


def layer(column, line, fixed=0.0):
    return LayerCost(ALPHA, fixed, column, line)


def gone(mask):
    return (~mask).nonzero().flatten().tolist()


def test_the_least_important_go_first_where_columns_alone_cost():
    scores = {"a": torch.tensor([8.0, 1, 7, 2, 6, 3, 5, 4])}
    masks = select_by_cost(scores, {"a": layer(1.0, 0.0)}, columns=5)
    assert gone(masks["a"]) == [1, 3, 5]


def test_a_whole_line_goes_where_lines_cost():
    # Column 0 is the least important, but lines cost all there is: 2 and 6 save 10 ms for
    # 3² + 3² = 18, while 0 saves nothing until 4, worth 9² = 81, goes too.
    scores = {"a": torch.tensor([1.0, 8, 3, 8, 9, 8, 3, 8])}
    cost = {"a": layer(0.01, 10.0, fixed=1.0)}
    masks = select_by_cost(scores, cost, ms=35)
    assert gone(masks["a"]) == [2, 6]
    assert cost["a"].ms(masks["a"]) == pytest.approx(1 + 6 * 0.01 + 30)


def test_columns_of_the_layer_that_is_slower_go_first():
    scores = {"slow": torch.full((8,), 2.0), "fast": torch.ones(8)}
    costs = {"slow": layer(10.0, 0.0), "fast": layer(1.0, 0.0)}
    masks = select_by_cost(scores, costs, columns=12)
    # 2² / 10 ms is less than 1² / 1 ms.
    assert int(masks["slow"].sum()) == 4 and int(masks["fast"].sum()) == 8


def test_it_stops_at_the_time_or_the_number_asked_for():
    torch.manual_seed(0)
    alpha = (4, 6, 6)
    scores = {name: torch.rand(144) for name in "abc"}
    costs = {name: LayerCost(alpha, 1.0, 0.02, 0.05) for name in "abc"}
    for wanted in (13.0, 9.0, 6.0):
        masks = select_by_cost(scores, costs, ms=wanted)
        ms = sum(costs[name].ms(masks[name]) for name in "abc")
        assert wanted - 4 * 0.02 - 0.05 < ms <= wanted
    for wanted in (431, 300, 100):
        masks = select_by_cost(scores, costs, columns=wanted)
        assert sum(int(mask.sum()) for mask in masks.values()) == wanted


def test_lines_save_time_that_scattered_columns_do_not():
    torch.manual_seed(0)
    alpha = (4, 6, 6)
    score = torch.rand(144)
    by_time = select_by_cost({"a": score}, {"a": LayerCost(alpha, 0, 0.01, 0.1)}, columns=36)["a"]
    by_score = select_by_cost({"a": score}, {"a": LayerCost(alpha, 0, 0.01, 0)}, columns=36)["a"]
    assert counts(by_time, alpha)[1] < counts(by_score, alpha)[1] - 5


def test_every_layer_keeps_its_least_and_pruned_columns_stay_so():
    scores = {"a": torch.zeros(8), "b": torch.ones(8)}
    costs = {"a": layer(1.0, 1.0), "b": layer(1.0, 1.0)}
    masks = select_by_cost(scores, costs, columns=0, keep_at_least=0.25)
    assert [int(mask.sum()) for mask in masks.values()] == [2, 2]
    before = {"a": torch.arange(8) % 2 == 0, "b": torch.ones(8, dtype=torch.bool)}
    masks = select_by_cost(scores, costs, columns=10, masks=before)
    assert int(masks["a"].sum()) + int(masks["b"].sum()) == 10
    assert not (masks["a"] & ~before["a"]).any()


def test_free_columns_go_last():
    scores = {"free": torch.zeros(8) + 0.1, "dear": torch.ones(8)}
    costs = {"free": layer(0.0, 0.0), "dear": layer(1.0, 0.0)}
    masks = select_by_cost(scores, costs, ms=3)
    assert int(masks["free"].sum()) == 8 and int(masks["dear"].sum()) == 3


def test_scores_that_are_not_finite_are_named():
    scores = {"a": torch.tensor([1.0, float("nan")] * 4)}
    with pytest.raises(ValueError, match="scores of layer 'a' are not finite"):
        select_by_cost(scores, {"a": layer(1.0, 0.0)}, columns=4)
