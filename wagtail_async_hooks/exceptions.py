"""The exceptions of the package; each message is one sentence that says what to do."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from huey.exceptions import CancelExecution, TaskTimeout


class BackgroundError(Exception):
    """Base of all exceptions of the package. Do not raise directly."""


class ConfigurationError(BackgroundError, ImproperlyConfigured):
    """A setting of the package cannot be used; the message names it."""


class NotCarried(BackgroundError, AttributeError):
    """An attribute of the request was read that is not passed to a worker.

    An ``AttributeError``, so that ``hasattr()`` and ``getattr()`` with a default answer as they
    do for a request without that attribute. Django's templates print nothing where a method that
    they call raises it.
    """

    silent_variable_failure = True


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


class CodecFailed(BackgroundError, ValueError):
    """A codec could not restore a value; the message names it."""


class CalledInCoroutine(BackgroundError, SynchronousOnlyOperation):
    """A task was called within a coroutine, where Django allows no statements."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The task {name} cannot be recorded within a coroutine, and nothing was recorded: "
            'write "await sync_to_async(task)(…)", with sync_to_async() of asgiref.sync.'
        )


class UnknownTask(BackgroundError, LookupError):
    """A message names a task that this process has not registered."""


class TargetGone(BackgroundError, LookupError):
    """The object that a task is about was deleted before a worker came to it."""


class TimedOut(BackgroundError, TaskTimeout, TimeoutError):  # type: ignore[misc]  # Huey's is Any
    """A function took longer than its timeout.

    :param seconds: the timeout.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than its timeout of {seconds:g} s")


class GivenUp(BackgroundError, CancelExecution):  # type: ignore[misc]  # Huey's is Any
    """A function was interrupted because its worker was cut off or its process ended.

    Another worker is about to take over its task, with its exclusive key or its place within the
    limit of its queue.

    :param why: the reason; by default, that the worker was cut off.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(
            why
            or "it was interrupted, since its worker could not be heard of, and another one was "
            "about to take it over"
        )
        self.retry = False


class Snooze(BackgroundError):
    """Raised by a function to be called again later, without an error.

    :param seconds: number of seconds to wait.
    :raises ValueError: if that is no number of seconds of at least 0.
    """

    def __init__(self, seconds: float) -> None:
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            raise ValueError(
                f"Snooze(…) takes a number of seconds of at least 0, but was given {seconds!r}."
            )
        super().__init__(f"it asked to be called again in {seconds:g} s")
        self.seconds = seconds


class BaseExceptionRaised(BackgroundError):
    """A function raised a ``BaseException``, such as ``asyncio.CancelledError``.

    Huey, receivers and ``on_error`` handle only subclasses of ``Exception``, such as this one.

    :param error: what it raised, which is the cause of this error, too.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return f"it raised {type(self.error).__name__}, which is no Exception"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.error).__name__})"


class TransactionLeftOpen(BackgroundError):
    """A function returned while a transaction that it had begun was open; it was rolled back.

    :param aliases: the databases.
    """

    def __init__(self, aliases: list[str]) -> None:
        named = " and ".join(map(repr, aliases))
        super().__init__(
            f"it left a transaction of the database {named} open, which was rolled back, so that "
            "what it wrote there is lost; commit, or use transaction.atomic()"
        )
        self.aliases = aliases


class ObjectsFailed(BackgroundError):
    """Some of the objects that a task works through failed; what became of each is recorded."""


class RemoteError(BackgroundError):
    """An exception of another process, as text.

    :param type_path: dotted path of its class.
    :param message: its text.
    """

    def __init__(self, type_path: str, message: str) -> None:
        super().__init__(type_path, message)
        self.type_path = type_path
        self.message = message

    def __str__(self) -> str:
        return f"{self.type_path}: {self.message}"


class OutageLasts(BackgroundError):
    """The database has not worked for so long that a drain gives up; the message says why."""
