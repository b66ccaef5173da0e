"""The picture of a confusion matrix: every name legible, counts where they fit."""

import pytest

from videowino.plots.confusion import confusion_figure, plot_confusion


def test_rows_are_the_truth_and_normalised(tmp_path):
    path = tmp_path / "deep" / "a.png"
    plot_confusion([[3, 1], [0, 0]], ["Fight", "No $fight$"], path, "a title")
    assert path.read_bytes().startswith(b"\x89PNG")
    axes = confusion_figure([[3, 1], [0, 0]], ["Fight", "No $fight$"], "a title").axes[0]
    assert axes.images[0].get_array().tolist() == [[75.0, 25.0], [0.0, 0.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "truth")
    assert axes.get_title() == "a title"
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "3", (1, 0): "1"}  # x is the predicted class


@pytest.mark.parametrize("count", [2, 26, 30, 51, 101])
def test_names_do_not_touch_each_other(count):
    names = [f"ClassOfSomeLength{n}" for n in range(count)]
    matrix = [[int(x == y) for x in range(count)] for y in range(count)]
    figure = confusion_figure(matrix, names)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert len(axes.texts) == (count if count <= 30 else 0)
    renderer = figure._get_renderer()
    for labels, low, high in (
        (axes.get_yticklabels(), "y0", "y1"),
        (axes.get_xticklabels(), "x0", "x1"),
    ):
        boxes = [label.get_window_extent(renderer) for label in labels]
        boxes.sort(key=lambda box: getattr(box, low))
        assert all(getattr(a, high) < getattr(b, low) for a, b in zip(boxes, boxes[1:]))
        assert labels[0].get_fontsize() >= 5
    whole = figure.bbox
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        box = label.get_window_extent(renderer)
        assert box.x0 >= whole.x0 and box.y0 >= whole.y0
