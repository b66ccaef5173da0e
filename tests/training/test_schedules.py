import pytest

from videowino.training.schedules import (
    cubic_sparsity,
    regrow_share,
    warmup_cosine,
    warmup_milestones,
)

# Written out by hand: (1 + cos(pi k / 4)) / 2 for k = 0 .. 3.
COSINE = [1.0, 0.8535533906, 0.5, 0.1464466094]


def test_cosine_without_warmup():
    assert [warmup_cosine(s, total=4) for s in range(4)] == pytest.approx(COSINE)


def test_cosine_after_linear_warmup():
    values = [warmup_cosine(s, total=8, warmup=4) for s in range(8)]
    assert values == pytest.approx([0.25, 0.5, 0.75, 1.0, *COSINE])


def test_milestones():
    values = [warmup_milestones(s, [4, 6], warmup=2) for s in range(8)]
    assert values == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cubic_sparsity():
    # final * (1 - (1 - t)^3) at t = 0, 1/4, 1/2, 3/4, 1 between steps 10 and 50.
    table = {
        0: 0.0,
        10: 0.0,
        20: 0.8 * (1 - 0.421875),
        30: 0.8 * (1 - 0.125),
        40: 0.8 * (1 - 0.015625),
        50: 0.8,
        90: 0.8,
    }
    assert [cubic_sparsity(s, 10, 50, 0.8) for s in table] == pytest.approx(list(table.values()))


def test_cubic_sparsity_from_a_pruned_start():
    values = [cubic_sparsity(s, 0, 4, final=0.75, initial=0.5) for s in range(5)]
    assert values == pytest.approx([0.5, 0.64453125, 0.71875, 0.74609375, 0.75])


def test_cubic_sparsity_in_one_step():
    assert [cubic_sparsity(s, 3, 3, 0.5) for s in (2, 3, 4)] == [0.0, 0.5, 0.5]


def test_regrow_share():
    # 0.4 / 2 * (1 + cos(pi t)) at t = 0, 1/4, 1/2, 3/4, 1 between steps 10 and 50.
    table = {
        0: 0.4,
        10: 0.4,
        20: 0.2 * (1 + 0.70710678),
        30: 0.2,
        40: 0.2 * (1 - 0.70710678),
        50: 0.0,
        60: 0.0,
    }
    found = [regrow_share(s, 10, 50, 0.4) for s in table]
    assert found == pytest.approx(list(table.values()))
    assert regrow_share(3, 3, 3, 0.4) == 0.0
