"""The page of hooks: which function runs where, and why, how it does, what could be better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from wagtail.admin.utils import get_user_display_name

from wagtail_async_hooks import conf
from wagtail_async_hooks.admin.views.base import PageMixin
from wagtail_async_hooks.admin.views.pauses import pause_url
from wagtail_async_hooks.conf.options import DEFAULT_QUEUE
from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.monitoring import description, hook_functions, hook_statistics, overview
from wagtail_async_hooks.monitoring.hook_functions import HookFunction, Where
from wagtail_async_hooks.monitoring.hook_statistics import Measured, Runs, Spread
from wagtail_async_hooks.queue import pausing

_FOLDER: Final = "wagtail_async_hooks/admin"


class FilterForm(forms.Form):
    """What the page can be narrowed to."""

    where = forms.ChoiceField(
        label=gettext_lazy("Where it runs"),
        choices=[("", gettext_lazy("All")), *Where.choices],
        required=False,
    )
    q = forms.CharField(label=gettext_lazy("Hook or function"), required=False, max_length=255)

    def admits(self, found: HookFunction) -> bool:
        """Return whether a function is one of those that are asked for."""
        asked = self.cleaned_data if self.is_valid() else {}
        text = asked.get("q", "").strip().casefold()
        if asked.get("where") and found.where != asked["where"]:
            return False
        return text in found.hook.casefold() or text in found.function.casefold()

    @property
    def is_used(self) -> bool:
        """Whether anything is asked for."""
        return self.is_valid() and any(self.cleaned_data.values())


@dataclass(frozen=True)
class Line:
    """One function, as the page shows it.

    :param runs: what became of its newest tasks.
    :param measured: how long it takes in the request.
    :param pauses: what keeps workers from it, each with who has paused it.
    :param back: where a pause leads back to.
    """

    found: HookFunction
    runs: Runs | None = None
    measured: Measured | None = None
    pauses: tuple[Pause, ...] = ()
    back: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return description.words_of(self.found.function)

    @property
    def kind(self) -> str:
        """What calls it."""
        return _("Signal:") if self.found.kind == "signal" else _("Hook:")

    @property
    def why(self) -> str:
        """Why it runs where it does, as a sentence."""
        return _("It %(reason)s.") % {"reason": self.found.reason}

    @property
    def queue(self) -> str:
        """Name of its queue."""
        return self.found.option("queue") or DEFAULT_QUEUE

    @property
    def priority(self) -> int:
        """Its priority."""
        return self.found.option("priority") or 0

    @property
    def failed(self) -> str:
        """How many of its runs failed, in words; blank if none did."""
        if self.runs is None or not self.runs.failed:
            return ""
        rate = 100 * self.runs.failure_rate
        share = _rounded(rate, 1 if rate < 10 else 0)
        return _("%(failed)d failed (%(share)s %%)") % {"failed": self.runs.failed, "share": share}

    @property
    def waited(self) -> tuple[str, str] | None:
        """How long its tasks waited: half of them, and nearly all."""
        return self.runs and _texts(self.runs.waited)

    @property
    def took(self) -> tuple[str, str] | None:
        """How long its tasks took: half of them, and nearly all."""
        return self.runs and _texts(self.runs.took)

    @property
    def costs(self) -> str:
        """How long it takes in the request, in words; blank if that was not measured."""
        return "" if self.measured is None else duration_text(self.measured.median)

    @property
    def is_quick(self) -> bool:
        """Whether it takes so little that nobody would notice if it were moved."""
        return self.measured is not None and self.measured.median < NOTICED

    @property
    def own_pause(self) -> Pause | None:
        """The pause of this function itself."""
        return self._pause_of(Pause.Kind.FUNCTION)

    @property
    def hook_pause(self) -> Pause | None:
        """The pause of its hook."""
        return self._pause_of(Pause.Kind.HOOK)

    @property
    def pause_url(self) -> str:
        """Where this function can be paused."""
        return pause_url(Pause.Kind.FUNCTION, self.found.function, self.back)

    @property
    def pause_hook_url(self) -> str:
        """Where its hook can be paused."""
        return pause_url(Pause.Kind.HOOK, self.found.hook, self.back)

    def _pause_of(self, kind: Pause.Kind) -> Pause | None:
        return next((each for each in self.pauses if each.kind == kind), None)


NOTICED: Final = 0.01
"""Seconds that somebody who waits may notice."""


@dataclass(frozen=True)
class Group:
    """The functions that run in one way.

    :param explained: what that means.
    :param number: how many there are.
    :param lines: those that are shown; none if there are many that nobody has asked for.
    """

    where: Where
    explained: str
    number: int
    lines: list[Line]
    is_collapsed: bool

    @property
    def heading(self) -> str:
        """What they are called, and how many there are."""
        told = {"where": self.where.label, "number": self.number}
        return _("%(where)s (%(number)d)") % told


class HooksView(PageMixin, TemplateView):
    """All functions of hooks, those first that could be improved."""

    section = "hooks"
    page_title = gettext_lazy("Hooks")
    header_icon = "code"
    template_name = f"{_FOLDER}/hooks.html"

    @cached_property
    def form(self) -> FilterForm:
        """What is asked for."""
        return FilterForm(self.request.GET)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "form": self.form,
            "groups": list(self._groups()),
            "here": reverse("wagtail_async_hooks:hooks"),
            "is_measuring": conf.current().measure_hooks,
            "recent": overview.RECENT,
            "samples": hook_statistics.SAMPLES,
        }

    def _groups(self) -> Iterator[Group]:
        by_place: dict[Where, list[HookFunction]] = {}
        for each in hook_functions.all_functions():
            if self.form.admits(each):
                by_place.setdefault(each.where, []).append(each)
        for where, found in by_place.items():
            is_asked = where != Where.BOUND or self.form.is_used
            lines = list(self._lines(where, found)) if is_asked else []
            is_collapsed = where in (Where.KEPT, Where.BOUND) and not self.form.is_used
            yield Group(where, str(_EXPLAINED[where]), len(found), lines, is_collapsed)

    def _lines(self, where: Where, found: list[HookFunction]) -> Iterable[Line]:
        keyed = [((each.hook, each.function), each) for each in found]
        if where == Where.BACKGROUND:
            runs, pauses = hook_statistics.runs(), named_pauses()
            back = self.request.get_full_path()
            return [
                Line(each, runs.get(key), None, _applying(pauses, each), back)
                for key, each in keyed
            ]
        measured = {} if where == Where.BOUND else self._measured
        lines = [Line(each, measured=measured.get(key)) for key, each in keyed]
        return sorted(lines, key=_gain) if where == Where.MOVABLE else lines

    @cached_property
    def _measured(self) -> dict[tuple[str, str], Measured]:
        return hook_statistics.measured()


_EXPLAINED: Final[dict[Where, Promise]] = {
    Where.MOVABLE: gettext_lazy(
        "Editors wait for these functions. The line of settings moves one to the background; of "
        "a function of your own, you can say so in its code: hooks.register(…, background=True)."
    ),
    Where.BACKGROUND: gettext_lazy("Workers run these functions, once the change is saved."),
    Where.KEPT: gettext_lazy(
        "Their hooks are background-safe: they could run in the background if the settings did not "
        "keep them, or if they were written in another way."
    ),
    Where.BOUND: gettext_lazy(
        "These have to run at once: Wagtail waits for what they answer, or nobody has said that "
        "their hooks may be left to a worker."
    ),
}


def _gain(line: Line) -> tuple[Any, ...]:
    """Return what sorts functions by what moving them would save."""
    median = 0.0 if line.measured is None else line.measured.median
    return bool(line.found.warnings), -median, line.found.hook, line.found.function


def _applying(pauses: list[Pause], found: HookFunction) -> tuple[Pause, ...]:
    """Return the pauses that keep workers from a function."""
    names = {
        Pause.Kind.EVERYTHING.value: "",
        Pause.Kind.QUEUE.value: found.option("queue") or DEFAULT_QUEUE,
        Pause.Kind.HOOK.value: found.hook,
        Pause.Kind.FUNCTION.value: found.function,
    }
    return tuple(each for each in pauses if names[each.kind] == each.name)


def named_pauses() -> list[Pause]:
    """Return what is paused, each with the name of who has paused it: ``user_name``."""
    pauses = pausing.paused()
    keys = {pause.user_id for pause in pauses if pause.user_id is not None}
    users = get_user_model()._base_manager.in_bulk(keys) if keys else {}
    for pause in pauses:
        user = users.get(pause.user_id)
        name = "" if user is None else get_user_display_name(user)
        pause.user_name = name  # type: ignore[attr-defined]  # for the template
    return pauses


def _texts(spread: Spread | None) -> tuple[str, str] | None:
    return spread and (duration_text(spread.p50), duration_text(spread.p95))


def duration_text(seconds: float) -> str:
    """Return a duration for people: "30 ms", "1.8 s", "12 min"."""
    if seconds < 0.9995:
        return _("%(number)s ms") % {"number": _rounded(1000 * seconds)}
    for size, text in ((3600, _("%(number)s h")), (60, _("%(number)s min"))):
        if seconds >= 2 * size:
            return text % {"number": _rounded(seconds / size)}
    return _("%(number)s s") % {"number": _rounded(seconds, 1 if seconds < 9.95 else 0)}


def _rounded(number: float, digits: int = 0) -> str:
    """Return a number in the reader's language; Django would cut digits off."""
    return str(number_format(round(number, digits), digits))
