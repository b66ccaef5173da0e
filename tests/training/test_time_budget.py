from videowino.latency import LatencyModel, LayerCost
from videowino.training.time_budget import TimeBudget

COSTS = LatencyModel({"a": LayerCost((4, 6, 6), 0.1, 0.2, 0.3)}, 10.0, 0.5).state


def test_a_checkpoint_has_costs_and_what_was_timed():
    budget = TimeBudget(2.0)
    assert budget.state is None
    state = {**COSTS, "faster": 1.25, "timed": 4.0, "took": True}
    budget.load(state)
    assert budget.state == state
    assert list(budget.costs) == ["model.a"]
    budget.load(None)
    assert budget.state is None and budget.costs is None


def test_costs_of_a_checkpoint_that_timed_nothing_on_the_way():
    budget = TimeBudget(2.0)
    budget.load(COSTS)
    assert budget.state == {**COSTS, "faster": 1.0, "timed": float("inf"), "took": False}
