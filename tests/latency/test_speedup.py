import pytest
import torch
from torch import nn

import videowino
from videowino.latency import LatencyModel, LayerCost, find_masks, measure_costs, speedup
from videowino.surgery import dense_like
from videowino.timing import Timing
from videowino.winograd import winograd_layers

CLIP = torch.randn(1, 16, 4, 12, 12)


@pytest.fixture
def model():
    layers = [nn.Conv3d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv3d(16, 16, 3, padding=1)]
    model = nn.Sequential(*layers)
    videowino.convert(model, parameterization="vanilla")
    return model


@pytest.fixture
def made_up(monkeypatch):
    """A machine: dense takes 10 ms, the deployed network 0.7 ms and 1/36 ms a column."""

    def timing(ms):
        return Timing(ms / 1e3, 0, 0, 1, 1)

    def time(model, form, masks, example, budget):
        tried.append(masks)
        kept = sum(int(mask.sum()) for mask in masks.values())
        return {"dense": timing(10.0), "pruned": timing(0.7 + kept / 36)}

    tried = []
    cost = LayerCost((4, 6, 6), 0.0, 1 / 36, 0.0)
    monkeypatch.setattr(speedup, "_time", time)
    monkeypatch.setattr(speedup, "measure_costs", lambda *a, **k: {"0": cost, "2": cost})
    monkeypatch.setattr(speedup, "in_fastest_form", lambda model, *a, **k: (model, ""))
    return tried


def test_measured_costs_are_those_of_the_layers(model):
    costs = measure_costs(model, CLIP, budget=0.0)
    assert list(costs) == ["0", "2"]
    assert costs["0"] == costs["2"]  # of one shape: measured once
    cost = costs["0"]
    assert cost.alpha == (4, 6, 6) and cost.column * 144 + cost.line * 36 + cost.fixed > 0
    assert all(layer.columns_kept == 144 for layer in winograd_layers(model).values())


def test_a_layer_that_is_not_called_is_named(model):
    model.spare = nn.Conv3d(4, 4, 3)
    videowino.convert(model)
    model.forward = lambda x: nn.Sequential(*list(model)[:3])(x)
    with pytest.raises(ValueError, match="does not call 'spare': leave it a Conv3d"):
        measure_costs(model, CLIP, budget=0.0)


def test_what_is_deployed_is_timed_until_it_is_as_fast_as_wanted(model, made_up):
    report = videowino.prune_to_speedup(model, 2.0, CLIP)
    # 5 ms are 0.7 of the network and 4.3 of columns: 154.8 of them.
    assert int(sum(m.columns_kept for m in winograd_layers(model).values())) in range(150, 160)
    assert "1.9" in report.title or "2.0" in report.title


def test_the_search_corrects_what_the_costs_do_not_know(model, made_up):
    cost = LayerCost((4, 6, 6), 0.0, 1 / 72, 0.0)  # half of what it is
    latency = LatencyModel({"0": cost, "2": cost}, dense_ms=10.0, rest_ms=0.7)
    scores = {name: layer.scores() for name, layer in winograd_layers(model).items()}
    found = find_masks(model, model, CLIP, latency, scores, 2.5)
    assert len(made_up) > 1
    assert found.speedup == pytest.approx(2.5, rel=0.03)
    kept = [sum(int(mask.sum()) for mask in masks.values()) for masks in made_up]
    assert 10 / (0.7 + min(kept, key=lambda k: abs(10 / (0.7 + k / 36) - 2.5)) / 36) == (
        pytest.approx(found.speedup)
    )


def test_no_column_goes_where_all_are_fast_enough(model, made_up):
    said = []
    # All 288 columns are 8 ms: 10 / 8.7.
    report = videowino.prune_to_speedup(model, 1.05, CLIP, say=said.append)
    assert len(made_up) == 2 and "1.15x" in report.title  # the first time to measure costs
    assert all(m.columns_kept == 144 for m in winograd_layers(model).values())
    assert said[-1] == "1.15x with all columns that are left: none has to go for 1.05x"


def test_pruned_columns_stay_pruned(model, made_up):
    videowino.prune(model, 0.25)
    before = {n: m.column_mask.clone() for n, m in winograd_layers(model).items()}
    videowino.prune_to_speedup(model, 3.0, CLIP)
    for name, layer in winograd_layers(model).items():
        assert not (layer.column_mask & ~before[name]).any()
        assert layer.columns_kept < 108


def test_out_of_reach(model, made_up):
    # A tenth of the columns are 30: 10 / (0.7 + 30 / 36) = 6.5.
    with pytest.raises(ValueError, match=r"speedup=9: with a tenth of .* about 6\.5x as fast"):
        videowino.prune_to_speedup(model, 9, CLIP)
    with pytest.raises(ValueError, match="speedup=0: above 0"):
        videowino.prune_to_speedup(model, 0, CLIP)
    with pytest.raises(ValueError, match="no WinogradConv3d; call videowino.convert"):
        measure_costs(nn.Sequential(nn.Conv3d(16, 16, 3)), CLIP)


def test_the_state_of_a_latency_model_comes_back():
    latency = LatencyModel({"a": LayerCost((4, 6, 6), 0.1, 0.2, 0.3)}, 10.0, 0.5)
    assert LatencyModel.of(latency.state) == latency


def test_dense_like_has_the_same_convolutions(model):
    dense = dense_like(model)
    assert [type(m) for m in dense] == [nn.Conv3d, nn.ReLU, nn.Conv3d]
    assert dense(CLIP).shape == model(CLIP).shape
    assert dense[0].weight.shape == (16, 16, 3, 3, 3) and dense[0].padding == (1, 1, 1)


@pytest.mark.slow
def test_a_real_network_is_as_fast_as_wanted():
    model = videowino.create_model("r3d_18", 10, width=0.5).eval()
    videowino.convert(model)
    clip = torch.randn(1, 3, 16, 56, 56)
    target = 2.0
    videowino.prune_to_speedup(model, target, clip)
    dense, _ = videowino.fastest.in_fastest_form(dense_like(model), clip)
    both = {"dense": dense, "deployed": videowino.deploy(model, clip)}
    times = [videowino.timing.time_models(both, clip, budget=2.0) for _ in range(5)]
    reached = [each["deployed"].speedup(each["dense"]) for each in times]
    # One of several, as the machine may be busy with something else.
    assert min(reached, key=lambda speedup: abs(speedup - target)) == pytest.approx(target, rel=0.1)
