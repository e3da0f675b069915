"""Wagtail imports this in every process; it registers nothing unless a test asks for it."""

from tests.fidelity import observing

if observing.is_asked_for():
    observing.register_in_background()
