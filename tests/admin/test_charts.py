"""Tests of charts: their SVG, and what screen readers find."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from django.utils import translation

from wagtail_async_hooks.admin.charts import DURATIONS, STYLES, BarChart, Series, Sparkline

NAMES = ["10:00", "10:05", "10:10"]


def chart(*series: Series, **options: object) -> BarChart:
    return BarChart("tasks", "Tasks & more", NAMES, series, **options)  # type: ignore[arg-type]


def drawn(component: BarChart | Sparkline) -> ElementTree.Element:
    """Return what a component draws; it has to be well-formed XML, and valid HTML as such."""
    html = component.render_html()
    HTMLParser().feed(html)
    return ElementTree.fromstring(html)


def texts(root: ElementTree.Element, path: str) -> list[str]:
    return ["".join(each.itertext()).strip() for each in root.findall(path)]


def heights(root: ElementTree.Element) -> list[list[float]]:
    bars = root.findall(".//g")
    parts = [bar.findall("rect[@fill]") for bar in bars]
    return [[float(part.attrib["height"]) for part in each] for each in parts]


def test_bars__stand_on_one_another() -> None:
    found = drawn(
        chart(Series("Good", [10, 0, 5], "succeeded"), Series("Bad", [10, 0, 15], "failed"))
    )

    assert heights(found) == [[80, 80], [], [40, 120]]
    first = [float(part.attrib["y"]) for part in found.findall(".//g")[0].findall("rect[@fill]")]
    assert first == [90, 10]


def test_bars__of_little_are_seen_beside_much() -> None:
    found = drawn(chart(Series("Good", [10_000, 0, 0]), Series("Bad", [1, 1, 0], "failed")))

    assert heights(found)[1] == [2]


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ([1, 0, 0], ["1"]),
        ([7, 3, 0], ["2", "4", "6", "8"]),
        ([9_500, 0, 0], ["5,000", "10,000"]),
    ],
)
def test_axis__has_round_numbers(values: list[float], lines: list[str]) -> None:
    assert texts(drawn(chart(Series("All", values))), ".//text") == lines


def test_axis__of_durations() -> None:
    found = drawn(chart(Series("Wait", [400, 0, 0]), scale=DURATIONS))

    assert texts(found, ".//text") == ["2 min", "4 min", "6 min", "8 min"]


def test_table__holds_all_numbers() -> None:
    found = drawn(chart(Series("Good", [1, 2, 3]), Series("Bad", [4, 5, 6], "failed")))

    assert texts(found, ".//caption") == ["Tasks & more"]
    assert texts(found, ".//thead//th") == ["Time", "Good", "Bad"]
    rows = [texts(row, "*") for row in found.findall(".//tbody/tr")]
    assert rows == [["10:00", "1", "4"], ["10:05", "2", "5"], ["10:10", "3", "6"]]


def test_image__has_the_title_as_its_name_and_series_have_patterns_of_their_own() -> None:
    found = drawn(chart(*(Series(style, [1, 1, 1], style) for style in STYLES)))

    image = found.find("svg")
    assert image is not None
    assert image.attrib["role"] == "img"
    assert found.find(f".//*[@id='{image.attrib['aria-labelledby']}']") is not None
    patterns = {each.attrib["id"] for each in found.findall(".//pattern")}
    fills = {each.attrib["fill"] for each in found.findall(".//g/rect[@fill]")}
    assert fills == {f"url(#{name})" for name in patterns}
    assert len(patterns) == len(STYLES)


def test_chart__of_nothing_says_so() -> None:
    found = drawn(chart(Series("All", [0, 0, 0]), empty="Nothing failed."))

    assert texts(found, "p") == ["Nothing failed."]
    assert found.find("svg") is None


def test_places__run_from_right_to_left_where_texts_do() -> None:
    with translation.override("ar"):
        found = drawn(chart(Series("All", [1, 2, 3]), ticks=["a", "", ""]))

    assert next(each.attrib["x"] for each in found.findall(".//g/rect[@class]")) == "66.667%"
    assert [(each.text, each.attrib["x"]) for each in found.findall("svg/text")][-1] == (
        "a",
        "83.333%",
    )


def test_numbers__of_other_languages_do_not_break_the_drawing() -> None:
    with translation.override("de"):
        found = drawn(chart(Series("Alle", [1234, 2, 3])))

    assert found.findall(".//g/rect")[0].attrib["width"] == "33.333%"
    assert texts(found, ".//tbody/tr/td")[0] == "1.234"


def test_chart__escapes_what_it_is_given() -> None:
    assert "<script>" not in chart(Series("<script>", [1, 2, 3])).render_html()


def test_sparkline__is_read_out_in_a_sentence_or_a_table() -> None:
    short = drawn(Sparkline([1, 0, 2000], "Failures"))
    long = drawn(Sparkline([1, 0, 2000], "Failures", NAMES))

    assert short.find("svg").attrib["aria-label"] == "Failures: 1; 0; 2,000"  # type: ignore[union-attr]
    assert short.find(".//table") is None
    assert long.find("svg").attrib["aria-label"] == "Failures"  # type: ignore[union-attr]
    assert texts(long, ".//tbody/tr/td") == ["1", "0", "2,000"]
    assert texts(long, ".//title") == ["10:00: 1", "10:05: 0", "10:10: 2,000"]


def test_sparkline__of_nothing() -> None:
    assert drawn(Sparkline([], "Failures")).findall(".//g") == []
    assert [e.attrib["height"] for e in drawn(Sparkline([0, 0], "F")).findall(".//rect")] == [
        "0.0",
        "0.0",
    ]


def test_sparkline__marks_what_failed_by_a_line_too() -> None:
    found = drawn(Sparkline([1, 2], "Runs", styles=["succeeded", "failed"]))

    assert [len(bar.findall("rect")) for bar in found.findall(".//g")] == [1, 2]


def test_media__names_the_styles() -> None:
    assert "charts.css" in str(Sparkline([1], "Runs").media)
