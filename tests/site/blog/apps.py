"""The blog's app configuration."""

from django.apps import AppConfig


class BlogConfig(AppConfig):
    """The one app of the demo site."""

    name = "tests.site.blog"
    label = "blog"

    def ready(self) -> None:
        """Connect the signal handlers."""
        from . import signal_handlers

        signal_handlers.register_signal_handlers()
