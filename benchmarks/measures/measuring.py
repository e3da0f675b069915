"""What it costs to measure a synchronous function of a hook, for each call."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "Measuring a hook"
EXPLAINED: Final = (
    "Wagtail's loop over the functions of `after_publish_page`, with one synchronous function, "
    'and with `WAGTAIL_TASKS["MEASURE_HOOKS"]`, which times it. Each figure is one call in the '
    "fastest of many short batches."
)
METRICS: Final = {
    "work": Metric("a function that renders a template, µs", digits=2),
    "nothing": Metric("a function that does nothing, µs", digits=2),
}
BASELINE: Final = "ours"
SMALL: Final = {"times": 5}
BATCH: Final = 20
"""Calls of a batch: a few milliseconds, so that some batches have a core to themselves."""

_CONTENDERS: Final = {"ours": "not measured", "ours_measured": "measured"}


def cases(*, quick: bool) -> list[Case]:
    """Return a site that measures hooks, and one that does not."""
    return [
        Case("measuring", contender, title, "sqlite", options={"times": 100 if quick else 1000})
        for contender, title in _CONTENDERS.items()
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1 if quick else 5


def run(case: Case) -> dict[str, list[float]]:
    """Return the microseconds of a call."""
    import django

    django.setup()
    times = case.options["times"]
    return {"work": [_time_of(_render(), times)], "nothing": [_time_of(_do_nothing, times)]}


def _time_of(function: Any, times: int) -> float:
    """Return the microseconds of a call, of the fastest of so many batches."""
    from wagtail import hooks

    from wagtail_async_hooks.hooks import takeover

    hooks.search_for_hooks()
    hooks._hooks["after_publish_page"] = []
    hooks.register("after_publish_page", function)
    takeover.take_over()
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        for _ in range(BATCH):
            for each in hooks.get_hooks("after_publish_page"):
                each(None, None)
        found.append((time.perf_counter() - begun) / BATCH)
    return 1e6 * min(found)


def _render() -> Any:
    from django.template import engines

    template = engines["django"].from_string(
        "{% for n in numbers %}<li>{{ n|add:1 }}</li>{% endfor %}"
    )

    def render(request: Any, page: Any) -> None:
        template.render({"numbers": range(5)})

    return render


def _do_nothing(request: Any, page: Any) -> None:
    pass
