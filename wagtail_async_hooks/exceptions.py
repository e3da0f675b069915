"""The exceptions of the package; each message is one sentence that says what to do."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured


class BackgroundError(Exception):
    """Base of all exceptions of the package. Do not raise directly."""


class ConfigurationError(BackgroundError, ImproperlyConfigured):
    """A setting of the package cannot be used; the message names it."""


class NotCarried(BackgroundError, AttributeError):
    """Something of the request was asked for that does not cross over to the worker.

    An ``AttributeError``, so that ``hasattr()`` and ``getattr()`` with a default answer as they
    do for a request without that attribute.
    """


class CannotSerialize(BackgroundError, TypeError):
    """A value cannot be put into a message.

    :param reason: what is wrong with the value, and what to do.
    :param path: where the value stands inside the argument, e.g. ``["images"][3]``.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def within(self, step: str) -> CannotSerialize:
        """Say that the value was found one step inside another, and return the same error."""
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class MessageRefused(BackgroundError, ValueError):
    """A stored message was not written by this site, was altered, or is of an unknown version."""


class UnknownTask(BackgroundError, LookupError):
    """A message names a task that this process has not registered."""


class TargetGone(BackgroundError, LookupError):
    """The object that a task is about was deleted before a worker came to it."""


class RemoteError(BackgroundError):
    """An exception that was raised in another process and carried over as text.

    :param type_path: dotted path of its class.
    :param message: its text.
    """

    def __init__(self, type_path: str, message: str) -> None:
        super().__init__(type_path, message)
        self.type_path = type_path
        self.message = message

    def __str__(self) -> str:
        return f"{self.type_path}: {self.message}"
