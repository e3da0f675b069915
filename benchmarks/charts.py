"""Bar charts as SVG: one bar for each case, with the spread of the rounds, for light and dark.

Drawn by hand in some 170 lines, since the files are smaller and follow the reader's theme: the 17
charts of a whole run have 86,283 bytes. The same ones took pygal 317,595 (52 lines, with texts one
upon the other), matplotlib 368,937 (103 lines, 10 of them for the dark theme) and Altair 553,354
(78 lines, no dark theme, and groups in another order), and none of them tells the figures in a
``<desc>``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.cases import Case
from benchmarks.results import Figure, Results
from benchmarks.tables import DATABASES, told

MANY: Final = 20
"""So many bars fit one chart."""

FEW: Final = 4
"""A measure is divided into so many charts at most by what the cases do."""

LOGARITHMIC: Final = 50
"""If the largest figure is more than so many times the smallest, the scale is logarithmic."""

# Pixels.
_BARS: Final = 340
_ROW: Final = 24
_BAR: Final = 14
_GAP: Final = 10
_MARGIN: Final = 16
_LETTER: Final = 7.3
"""The width of a letter, on average and rather too wide, at the size of labels."""

_STYLE: Final = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.group { font-weight: 600 }
.note, .tick { font-size: 11px; fill: #59636e }
.value { font-variant-numeric: tabular-nums }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.bar { fill: #a9b4bf }
.ours { fill: #007d7e }
.spread { stroke: #1f2328; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note, .tick { fill: #9198a1 }
.paper { fill: #0d1117 }
.grid { stroke: #30363d }
.bar { fill: #57616c }
.ours { fill: #2fb3a8 }
.spread { stroke: #e6edf3 }
}
"""


@dataclass(frozen=True)
class Bar:
    """One bar.

    :param is_ours: whether it stands out.
    """

    label: str
    figure: Figure
    is_ours: bool


@dataclass(frozen=True)
class Chart:
    """All that is on one chart.

    :param name: of the file, without its ending.
    :param subtitle: what the numbers are, and in which direction they are better.
    :param groups: the bars, by their heading.
    :param digits: after the decimal point.
    """

    name: str
    title: str
    subtitle: str
    groups: Mapping[str, Sequence[Bar]]
    digits: int


def charts(results: Results, measure: str, module: Any) -> list[Chart]:
    """Return the charts of a measure's first metric: several, if one would be too full.

    :param module: the measure's.
    """
    if hasattr(module, "table"):
        return []
    cases = results.cases(measure)
    metric, description = next(iter(module.METRICS.items()))
    better = "less" if description.less_is_better else "more"
    return [
        Chart(
            f"{measure}-{_slug(part.title)}" if part.title else measure,
            f"{module.TITLE}: {part.title}" if part.title else module.TITLE,
            f"{description.title}; {better} is better",
            _groups(results, part, metric),
            description.digits,
        )
        for part in _parts(cases)
    ]


class _Part(NamedTuple):
    """Cases that stand on one chart, and what tells them from the others; blank if nothing does."""

    title: str
    cases: list[Case]


def _parts(cases: list[Case]) -> list[_Part]:
    """Divide cases by what they do if they are too many, or else by their storage."""
    if len(cases) <= MANY:
        return [_Part("", cases)]
    works = [_work_of(case) for case in cases]
    if "" not in works and 1 < len(set(works)) <= FEW:
        return _divided(cases, works)
    return _divided(cases, [_storage_of(case) for case in cases])


def _work_of(case: Case) -> str:
    """Return what the title says after its last comma."""
    return case.title.rpartition(", ")[2] if ", " in case.title else ""


def _storage_of(case: Case) -> str:
    if not case.database:
        return "Redis alone" if case.redis else ""
    return f"{'Redis and ' if case.redis else ''}{DATABASES[case.database]}"


def _divided(cases: list[Case], titles: list[str]) -> list[_Part]:
    """Return a part for each title, in the order of their first cases."""
    return [
        _Part(title, [case for case, its in zip(cases, titles, strict=True) if its == title])
        for title in dict.fromkeys(titles)
    ]


def _groups(results: Results, part: _Part, metric: str) -> dict[str, list[Bar]]:
    groups: dict[str, list[Bar]] = {}
    for case in part.cases:
        label = case.title.removesuffix(f", {part.title}").replace("`", "")
        bar = Bar(label, results.figure(case, metric), _is_ours(case))
        group = DATABASES[case.database] if case.database else _storage_of(case)
        groups.setdefault(group, []).append(bar)
    return groups


def _is_ours(case: Case) -> bool:
    return case.contender == "ours" or case.title.startswith("wagtail_async_hooks")


def _slug(text: str) -> str:
    """Return a text as a part of a file's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


# Scales -------------------------------------------------------------------------------------


class Scale(NamedTuple):
    """From numbers to pixels of a bar.

    :param low: where bars begin; 0 unless it is logarithmic.
    :param high: where the longest one could end.
    """

    low: float
    high: float
    logarithmic: bool

    def __call__(self, value: float) -> float:
        """Return where a number is, in pixels from the left end."""
        if not self.logarithmic:
            return _BARS * value / self.high
        value = max(value, self.low)
        return _BARS * math.log10(value / self.low) / math.log10(self.high / self.low)

    def ticks(self) -> list[float]:
        """Return the numbers that get a line."""
        if self.logarithmic:
            decades = round(math.log10(self.high / self.low))
            return [self.low * 10**decade for decade in range(decades + 1)]
        step = self.high / 4
        return [step * number for number in range(5)]


def scale_of(figures: Sequence[Figure]) -> Scale:
    """Return the scale that shows figures well: from zero, unless they differ by magnitudes."""
    medians = [figure.median for figure in figures]
    highest = max(figure.high for figure in figures)
    highest = max(highest, *medians)
    smallest = min([*medians, *(figure.low for figure in figures)])
    if smallest > 0 and max(medians) / min(medians) > LOGARITHMIC:
        # The shortest bar has to be seen, so it does not begin at its own number.
        low = 10.0 ** math.floor(math.log10(smallest * 0.8))
        return Scale(low, 10.0 ** math.ceil(math.log10(highest)), True)
    return Scale(0.0, _round_up(highest), False)


def _round_up(value: float) -> float:
    """Return the next number whose quarters are easy to read."""
    if value <= 0:
        return 1.0
    magnitude: float = 10.0 ** math.floor(math.log10(value))
    return next(m * magnitude for m in (1, 2, 4, 6, 8, 10) if value <= m * magnitude)


# Drawing ------------------------------------------------------------------------------------


def svg(chart: Chart) -> str:
    """Return a chart as the text of an SVG file."""
    bars = [bar for group in chart.groups.values() for bar in group]
    values = [told(bar.figure, chart.digits) for bar in bars]
    scale = scale_of([bar.figure for bar in bars])
    left = _MARGIN + _width(max((bar.label for bar in bars), key=len)) + _GAP
    right = left + _BARS + _GAP
    width = right + _width(max(values, key=len)) + _MARGIN
    width = max(width, 2 * _MARGIN + 1.35 * _width(chart.title))
    top = 72
    bottom = top + _ROW * (len(bars) + sum(1 for heading in chart.groups if heading))
    height = bottom + (62 if scale.logarithmic else 44)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(_plain(chart.title))}</title>',
            f'<desc id="desc">{escape(_described(chart))}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>',
            _text(_MARGIN, 28, chart.title, "title"),
            _text(_MARGIN, 48, chart.subtitle, "note"),
            *_grid(scale, left, top, bottom),
            *_rows(chart, scale, left, right, top),
            *_notes(scale, bottom),
            "</svg>\n",
        ]
    )


def _width(text: str) -> float:
    return _LETTER * len(text)


def _plain(text: str) -> str:
    """Return a text of the page without its marks of code."""
    return text.replace("`", "")


def _described(chart: Chart) -> str:
    """Return the chart in words."""
    told_bars = "; ".join(
        f"{f'{heading}, ' if heading else ''}{bar.label}: {told(bar.figure, chart.digits)}"
        for heading, group in chart.groups.items()
        for bar in group
    )
    return f"{_plain(chart.subtitle)}. {told_bars}."


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
        f"{escape(_plain(text))}</text>"
    )


def _grid(scale: Scale, left: float, top: float, bottom: float) -> Iterator[str]:
    for tick in scale.ticks():
        x = left + scale(tick)
        yield f'<path class="grid" d="M{x:.1f} {top - 4:.1f}V{bottom + 4:.1f}"/>'
        yield _text(x, bottom + 18, f"{tick:,.10g}", "tick", "middle")


def _rows(chart: Chart, scale: Scale, left: float, right: float, top: float) -> Iterator[str]:
    y = top
    for heading, group in chart.groups.items():
        if heading:
            yield _text(_MARGIN, y + 16, heading, "group")
            y += _ROW
        for bar in group:
            yield from _row(bar, chart.digits, scale, left, right, y + _ROW / 2)
            y += _ROW


def _row(
    bar: Bar, digits: int, scale: Scale, left: float, right: float, middle: float
) -> Iterator[str]:
    length = scale(bar.figure.median)
    kind = "bar ours" if bar.is_ours else "bar"
    yield _text(left - _GAP, middle + 4.5, bar.label, "label", "end")
    yield (
        f'<rect class="{kind}" x="{left:.1f}" y="{middle - _BAR / 2:.1f}" '
        f'width="{length:.1f}" height="{_BAR}" rx="2"/>'
    )
    low, high = left + scale(bar.figure.low), left + scale(bar.figure.high)
    if high - low >= 1:
        yield (
            f'<path class="spread" d="M{low:.1f} {middle - 4:.1f}v8M{low:.1f} {middle:.1f}'
            f'H{high:.1f}M{high:.1f} {middle - 4:.1f}v8"/>'
        )
    yield _text(right, middle + 4.5, told(bar.figure, digits), "value")


def _notes(scale: Scale, bottom: float) -> Iterator[str]:
    if scale.logarithmic:
        told = "Logarithmic scale: each line is ten times the one before it."
        yield _text(_MARGIN, bottom + 44, told, "note")
