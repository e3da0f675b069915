"""What is assumed of editors and of their tasks: not measured, and different for every site."""

from __future__ import annotations

from typing import Final

from benchmarks.simulation.site import Deed, Kind

DEEDS: Final = (Deed("save a draft", 6, 3), Deed("publish", 1, 9))
"""As many tasks as the demo records: its own hooks, and Wagtail's work on its two indexes."""

PUBLISHES: Final = 100_000
"""Of a large day; each with one draft that was saved before: 1.2 million tasks."""

OF_A_LARGE_DAY: Final = (Deed("save a draft", 1, 3), Deed("publish", 1, 9))

KINDS: Final = (
    Kind("a look-up or an index entry", 0.6, 0.02),
    Kind("an image, or a request to a service nearby", 0.3, 0.2),
    Kind("a request to a slow service", 0.1, 2.0),
)

DAY: Final = (0.1, 0.4, 0.9, 1.0, 0.6, 0.5, 0.9, 0.9, 0.5, 0.1)
"""From eight in the morning to six in the evening, of the busiest hour: two peaks and a lunch."""
