"""Charts as SVG that the server draws, each with its numbers in a table for screen readers.

Places along the time axis are percentages, heights are pixels: a chart fills the width that it
gets, and its texts keep their size. Series differ by their pattern as well as by their colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from django.forms.widgets import Media
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.html import escape
from django.utils.safestring import mark_safe
from django.utils.translation import get_language_bidi
from django.utils.translation import gettext as _
from wagtail.admin.staticfiles import versioned_static
from wagtail.admin.ui.components import Component

from wagtail_async_hooks.utils.time import short_duration

HEIGHT: Final = 160
"""Height of the bars of a :class:`BarChart`, in pixels."""

TOP: Final = 10
"""Space above them."""

BELOW: Final = 24
"""Space below them, for the axis."""

LINES: Final = 4
"""Number of lines of the grid, at most, besides the base line."""

SPARKLINE_HEIGHT: Final = 24
"""Height of a :class:`Sparkline`, in pixels."""

LEAST: Final = 2.0
"""Height of the smallest part of a bar, in pixels, so that one failure among thousands shows."""

GAP: Final = 0.2
"""Fraction of the width of a bar that is left free beside it."""

STYLES: Final = ("plain", "succeeded", "failed", "repeated", "otherwise")
"""How a series may look, see ``charts.css``: each has a colour and a pattern."""


def _count(value: float) -> str:
    return number_format(round(value), use_l10n=True, force_grouping=True)


def _step_of_counts(least: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50, …"""
    magnitude = 10 ** math.floor(math.log10(max(least, 1.0)))
    found: float = next(n * magnitude for n in (1, 2, 5, 10) if n * magnitude >= least)
    return found


_DURATIONS: Final = (1, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 21600, 43200, 86400)


def _step_of_durations(least: float) -> float:
    days = _step_of_counts(least / 86400) * 86400
    return next((step for step in _DURATIONS if step >= least), days)


class Scale(NamedTuple):
    """What the values of a chart are.

    :param text: returns what a value is called.
    :param step: returns the smallest suitable distance of two lines that is not less than this.
    """

    text: Callable[[float], str]
    step: Callable[[float], float]


COUNTS: Final = Scale(_count, _step_of_counts)
DURATIONS: Final = Scale(short_duration, _step_of_durations)
"""Seconds."""


class Series(NamedTuple):
    """Values of one kind.

    :param label: what they are.
    :param values: one for each bar.
    :param style: one of :data:`STYLES`.
    :param note: what the legend says about them, such as their sum.
    """

    label: str
    values: Sequence[float]
    style: str = "plain"
    note: str = ""


class BarChart(Component):  # type: ignore[misc]  # Wagtail has no types
    """Bars, one for each time; the values of several series stand on one another.

    :param name: which no other chart of the page has.
    :param title: what it shows.
    :param labels: what each bar is called, such as "14:05 to 14:10".
    :param series: with as many values as there are labels.
    :param ticks: what the axis says below each bar; blank for nothing.
    :param scale: what the values are.
    :param empty: what is said if all values are zero.
    """

    template_name = "wagtail_async_hooks/admin/charts/bars.html"

    def __init__(
        self,
        name: str,
        title: str,
        labels: Sequence[str],
        series: Sequence[Series],
        *,
        ticks: Sequence[str] = (),
        scale: Scale = COUNTS,
        empty: str = "",
    ) -> None:
        self._name = name
        self._title = title
        self._labels = labels
        self._series = series
        self._ticks = ticks
        self._scale = scale
        self._empty = empty

    @property
    def media(self) -> Any:
        """The styles; the pages about background tasks have them anyhow."""
        return _media()

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        """Return what the template draws."""
        axis, texts = _Axis.of(len(self._labels)), self._texts()
        return {
            "name": self._name,
            "title": self._title,
            "is_empty": not any(self._sums),
            "empty": self._empty or _("Nothing happened in this time."),
            "series": [self._described(number) for number in range(len(self._series))],
            "height": str(TOP + HEIGHT + BELOW),
            "base": str(TOP + HEIGHT),
            "axis": str(TOP + HEIGHT + 17),
            "bars": self._bars(axis, texts),
            "rows": self._rows(texts),
            "lines": self._lines(),
            "ticks": [
                (axis.place(number + 0.5), text) for number, text in enumerate(self._ticks) if text
            ],
            "edge": "100%" if axis.is_mirrored else "0%",
            "beside": "8" if axis.is_mirrored else "-8",
        }

    @cached_property
    def _sums(self) -> list[float]:
        return [sum(values) for values in zip(*(s.values for s in self._series), strict=True)]

    @cached_property
    def _step(self) -> float:
        return self._scale.step(max(self._sums, default=0) / LINES)

    @cached_property
    def _top(self) -> float:
        """The value at the upper end."""
        return self._step * max(1, math.ceil(max(self._sums, default=0) / self._step))

    def _described(self, number: int) -> dict[str, str]:
        series = self._series[number]
        return {
            "label": series.label,
            "note": series.note,
            "style": series.style,
            "fill": self._fill(series),
        }

    def _fill(self, series: Series) -> str:
        return f"url(#{self._name}-{series.style})"

    def _lines(self) -> list[tuple[str, str]]:
        number = round(self._top / self._step)
        values = [self._step * step for step in range(1, number + 1)]
        return [(_pixels(TOP + self._y(value)), self._scale.text(value)) for value in values]

    def _y(self, value: float) -> float:
        return HEIGHT * (1 - value / self._top)

    # Bars and rows are many, and Django's templates take long for what is repeated.

    def _bars(self, axis: _Axis, texts: list[list[str]]) -> str:
        """Return the bars, each with what it says to whoever points at it."""
        labels = [escape(series.label) for series in self._series]
        fills = [escape(self._fill(series)) for series in self._series]
        base, bars = str(TOP + HEIGHT), []
        for number, (label, values) in enumerate(zip(self._labels, texts, strict=True)):
            said = ", ".join(f"{n}: {value}" for n, value in zip(labels, values, strict=True))
            area = f'x="{axis.place(number, 1)}" width="{axis.width(1)}" y="0" height="{base}"'
            bars.append(
                f'<g class="background-chart__bar"><title>{escape(label)}: {said}</title>'
                f'<rect class="background-chart__area" {area}/>'
                f"{self._parts(number, axis, fills)}</g>"
            )
        return mark_safe("".join(bars))

    def _parts(self, number: int, axis: _Axis, fills: Sequence[str]) -> str:
        across = f'x="{axis.place(number + GAP / 2, 1 - GAP)}" width="{axis.width(1 - GAP)}"'
        parts, top = [], float(TOP + HEIGHT)
        for series, fill in zip(self._series, fills, strict=True):
            value = series.values[number]
            if value > 0:
                height = max(LEAST, HEIGHT * value / self._top)
                top = max(0.0, top - height)
                look = f"background-chart__part background-chart--{escape(series.style)}"
                place = f'{across} y="{_pixels(top)}" height="{_pixels(height)}"'
                parts.append(f'<rect class="{look}" fill="{fill}" {place}/>')
        return "".join(parts)

    def _rows(self, texts: list[list[str]]) -> str:
        """Return the rows of the table."""
        rows = [
            f'<tr><th scope="row">{escape(label)}</th><td>{"</td><td>".join(values)}</td></tr>'
            for label, values in zip(self._labels, texts, strict=True)
        ]
        return mark_safe("".join(rows))

    def _texts(self) -> list[list[str]]:
        """Return what the values of each bar are called, escaped; most are the same."""
        known: dict[float, str] = {}
        for series in self._series:
            for value in series.values:
                if value not in known:
                    known[value] = escape(self._scale.text(value))
        bars = zip(*(series.values for series in self._series), strict=True)
        return [[known[value] for value in values] for values in bars]


class Sparkline(Component):  # type: ignore[misc]  # Wagtail has no types
    """A line of small bars within a text or a table.

    :param values: one for each bar, the oldest first.
    :param label: what they are, such as "Failures in the last 24 hours".
    :param labels: what each bar is called; without them, the values are read out in one sentence.
    :param styles: how each bar looks, of :data:`STYLES`; what failed has a line below it.
    """

    template_name = "wagtail_async_hooks/admin/charts/sparkline.html"

    def __init__(
        self,
        values: Sequence[int],
        label: str,
        labels: Sequence[str] = (),
        *,
        styles: Sequence[str] = (),
    ) -> None:
        self._values = values
        self._label = label
        self._labels = labels
        self._styles = styles or ["plain"] * len(values)

    @property
    def media(self) -> Any:
        """The styles; the pages about background tasks have them anyhow."""
        return _media()

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        """Return what the template draws."""
        texts = [_count(value) for value in self._values]
        axis = _Axis.of(len(texts))
        spoken = _("%(label)s: %(values)s") % {"label": self._label, "values": "; ".join(texts)}
        return {
            "label": self._label,
            "spoken": self._label if self._labels or not texts else spoken,
            "height": str(SPARKLINE_HEIGHT),
            "base": str(SPARKLINE_HEIGHT - 3),
            "bars": [self._bar(number, text, axis) for number, text in enumerate(texts)],
            "rows": list(zip(self._labels, texts, strict=True)) if self._labels else [],
        }

    def _bar(self, number: int, text: str, axis: _Axis) -> dict[str, Any]:
        value, room = self._values[number], SPARKLINE_HEIGHT - 4
        height = max(LEAST, room * value / max(self._values)) if value > 0 else 0.0
        label = self._labels[number] if self._labels else ""
        return {
            "text": f"{label}: {text}" if label else text,
            "style": self._styles[number],
            "is_marked": value > 0 and self._styles[number] == "failed",
            "x": axis.place(number + GAP / 2, 1 - GAP),
            "width": axis.width(1 - GAP),
            "y": _pixels(room - height),
            "height": _pixels(height),
        }


def _media() -> Media:
    return Media(css={"all": [versioned_static("wagtail_async_hooks/charts.css")]})


class _Axis(NamedTuple):
    """The time axis, in percent of its length.

    :param bars: their number.
    :param is_mirrored: whether times run from right to left, as texts do.
    """

    bars: int
    is_mirrored: bool

    @classmethod
    def of(cls, bars: int) -> _Axis:
        """Return that of the active language."""
        return cls(bars, get_language_bidi())

    def place(self, number: float, wide: float = 0.0) -> str:
        """Return the left end of what begins after so many bars, and is so many bars wide."""
        return self.width(self.bars - number - wide if self.is_mirrored else number)

    def width(self, wide: float) -> str:
        """Return the length of so many bars."""
        return f"{100 * wide / self.bars:.3f}%"


def _pixels(number: float) -> str:
    return f"{number:.1f}"
