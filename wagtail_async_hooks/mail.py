"""The e-mail backend, under the path that settings name."""

from wagtail_async_hooks.integrations.mail import BackgroundEmailBackend

__all__ = ["BackgroundEmailBackend"]
