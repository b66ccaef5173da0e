from dataclasses import replace

import pytest

from videowino.evaluation.page.front import best, headline, pareto_front


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 90)], [0]),
        ([(1, 90), (2, 80)], [0, 1]),
        ([(1, 90), (2, 95)], [1]),  # faster and better
        ([(1, 90), (2, 90)], [1]),  # faster, and as good
        ([(1, 90), (1, 80), (3, 70), (2, 75), (2, 60)], [0, 3, 2]),
        ([(1, 90), (1, 90)], [0]),  # one of two that are the same
    ],
)
def test_the_front_is_what_nothing_beats(points, front):
    assert pareto_front(points) == front


def test_the_best_is_the_fastest_that_loses_a_point_at_most(page):
    comparison = page.comparison
    assert best(comparison).name == "quarter"  # 61 of 61.5, 1.9x; half: 60.25, 1.2x
    assert headline(comparison) == (
        "quarter is 1.90 times as fast as dense and loses 0.5 points: 61.0 % against 61.5 % of "
        "the test videos right."
    )


def test_or_the_one_that_loses_least(comparison):
    rows = [comparison.rows[0], comparison.rows[3], comparison.rows[2]]
    assert best(replace(comparison, rows=rows)).name == "half"
    assert "loses 1.2 points" in headline(replace(comparison, rows=rows))


def test_a_baseline_alone_and_one_without_accuracy(comparison):
    alone = replace(comparison, rows=comparison.rows[:1])
    assert headline(alone) == "dense: 61.5 % of the test videos are put in the right class."
    untrained = replace(comparison.rows[0], accuracy=None)
    two = replace(comparison, rows=[untrained, *comparison.rows[2:]])
    assert best(two).name == "half"  # the most accurate
    assert headline(two) == "half is 1.20 times as fast as dense: 60.2 % of the test videos right."
    none = replace(comparison, rows=[untrained, replace(comparison.rows[2], accuracy=None)])
    assert headline(none) == "2 networks; none has an accuracy."
