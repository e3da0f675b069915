"""The app that adds hooks to the demo which can be made to fail, and to take their time."""

from __future__ import annotations

from django.apps import AppConfig


class BrowserConfig(AppConfig):
    """Hooks of the site that the browser tests look at."""

    name = "tests.browser"
    label = "browser"
