"""What is printed is what is written."""

import json
import re

from rich.console import Console

from videowino.evaluation.tables import comparison_table, layer_table, make_console


def rendered(what) -> str:
    console = Console(width=150)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_table_shows_the_figures_of_the_json_file(comparison, tmp_path):
    comparison.save_json(tmp_path / "deep" / "figures.json")
    figures = json.loads((tmp_path / "deep" / "figures.json").read_text())
    text = rendered(comparison_table(comparison))
    for row in figures["rows"]:
        (line,) = [t for t in text.splitlines() if t.strip().startswith(row["name"] + " ")]
        cells = re.split(r"\s{2,}", line.strip())
        kept, accuracy = row["columns_kept"], row["accuracy"]
        assert cells[1] == ("-" if kept is None else f"{100 * kept:.0f} %")
        video, clip = cells[2].split(" / "), cells[3].split(" / ")
        assert float(video[0]) == round(accuracy["video_top1"], 1)
        assert float(video[1]) == round(accuracy["video_top5"], 1)
        assert float(clip[0]) == round(accuracy["clip_top1"], 1)
        assert float(clip[1]) == round(accuracy["clip_top5"], 1)
        assert cells[4:7] == ["33.2 M", "1.23 M", "6.79 G"]
        for at, speed in zip((7, 9), row["speed"]):
            assert float(cells[at]) == round(speed["ms_per_clip"], 2)
            assert cells[at + 1] == f"{speed['speedup']:.2f}x"
    assert figures["environment"]["instruction_set"] == "avx512"
    assert figures["environment"]["threads"] == 2
    assert figures["notes"] == ["A note."]


def test_a_slowdown_is_printed_as_it_is(comparison):
    line = next(t for t in rendered(comparison_table(comparison)).splitlines() if "exact" in t)
    assert "0.62x" in line
    assert "0.50x" in line


def test_what_was_measured_on_stands_below(comparison):
    text = rendered(comparison_table(comparison))
    assert "AMD EPYC, avx512, 2 threads, torch 2.13.0; medians." in text
    assert (
        "split 4: 260 test videos x 3 views, clips of 16x32x44, 26 classes (chance 3.8 %)" in text
    )
    assert "batch 1" in text
    assert "batch 8" in text
    assert "A note." in text


def test_layers(comparison):
    line = next(t for t in rendered(layer_table(comparison)).splitlines() if "layer1.0" in t)
    assert line.split() == ["layer1.0", "1", "1.25", "1.25", "1.25", "1.25"]


def test_output_to_a_file_is_not_squeezed(comparison, capsys):
    make_console().print(comparison_table(comparison))
    text = capsys.readouterr().out
    assert "…" not in text
    line = next(t for t in text.splitlines() if "exact Winograd" in t)
    assert "61.5 / 91.2" in line
    assert "0.50x" in line
