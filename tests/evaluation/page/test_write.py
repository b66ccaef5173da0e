"""The page as text: whole, escaped, and of itself alone."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from videowino.evaluation.page import NetworkDetail, plot_svg, write_page

_VOID = {"meta", "br", "img", "input", "link", "hr"}


class Reader(HTMLParser):
    """Fails where tags do not close in the order they were opened."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return reader


def test_it_says_everything_and_names_are_only_text(page, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_page(page, path)
    reader = read(path)
    text = " ".join(" ".join(reader.text).split())
    assert "quarter is 1.90 times as fast as dense" in text
    assert "half <b>" in text and "Run & <hide>" in text
    assert "<b>half" not in path.read_text() and "<hide>" not in path.read_text()
    assert "A note." in text and "torch 2.13.0" in text
    assert "python evaluate.py report runs/dense" in text and "model: {}" in text
    for figure in ("61.5", "60.2", "33.2 M", "6.79 G", "1.25x", "2.50x", "40 of 64"):
        assert figure in text, figure
    assert text.count("taken for Run & <hide>: 1") == 1
    assert list(tmp_path.glob("new/*")) == [path]


def test_it_needs_nothing_from_elsewhere(page, tmp_path):
    write_page(page, tmp_path / "report.html")
    reader = read(tmp_path / "report.html")
    for name, value in reader.attributes:
        if name in ("src", "href", "srcset", "data", "poster"):
            assert value.startswith(("#", "data:")), value
    content = (tmp_path / "report.html").read_text()
    assert all(url.startswith("data:") for url in re.findall(r"url\(([^)]*)\)", content))
    assert "default-src 'none'" in content and "@import" not in content


def test_the_script_gets_the_networks(page, tmp_path):
    write_page(page, tmp_path / "report.html")
    content = (tmp_path / "report.html").read_text()
    (given,) = re.findall(r'id="points">(.*?)</script>', content)
    points = json.loads(given)
    assert [point["name"] for point in points] == ["dense", "half <b>", "quarter"]
    assert points[2]["speed"] == {"1": "1.90x, 52.63 ms a clip", "8": "2.50x, 40.00 ms a clip"}


def test_little_to_show(page, tmp_path):
    """No layers timed, no predictions, one view, a baseline that is not trained."""
    comparison = page.comparison
    rows = [replace(comparison.rows[0], accuracy=None), *comparison.rows[1:]]
    data = replace(comparison.data, views=1)
    bare = replace(comparison, rows=rows, layers=[], predictions=None, data=data)
    bare_page = replace(page, comparison=bare, samples=[])
    bare_page.details["dense"] = NetworkDetail()
    write_page(bare_page, tmp_path / "report.html")
    text = " ".join(read(tmp_path / "report.html").text)
    assert "video-level top-1 / 5" in text and "the first ones train" not in text
    assert "Not timed:" in text and "Confusion" not in text and "Hollow" not in text


def test_the_plot_alone_is_a_picture(page, tmp_path):
    plot_svg(page.comparison, tmp_path / "plot.svg")
    picture = ElementTree.parse(tmp_path / "plot.svg").getroot()
    names = [t.text for t in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"dense", "half <b>", "quarter"} <= set(names)
    assert "{" not in picture.get("viewBox")


def test_a_page_that_cannot_be_made_leaves_the_old_one(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    rows = [replace(row, accuracy=None) for row in page.comparison.rows]
    with pytest.raises(ValueError, match="nothing to plot"):
        write_page(replace(page, comparison=replace(page.comparison, rows=rows)), path)
    assert path.read_text() == "old"
