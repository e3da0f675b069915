"""Tasks whose outcome a database may refuse."""

from __future__ import annotations

from typing import Any

from wagtail_async_hooks import background, current_task, progress
from wagtail_async_hooks.exceptions import BackgroundError


@background.task()
def report(done: Any, total: Any, note: Any = "") -> str:
    """Report a progress."""
    progress(done, total, note)
    return "reported"


@background.task()
def fail(text: str) -> None:
    """Fail, with a text."""
    raise ValueError(text)


@background.task()
def fail_with_a_long_name(length: int) -> None:
    """Fail with an error whose class has a long name."""
    raise type("E" * length, (BackgroundError,), {})("…")


@background.task()
def give(size: int) -> str:
    """Return a text of that length."""
    return "x" * size


@background.task()
def tell(texts: list[str]) -> None:
    """Have something to tell the editor."""
    running = current_task.running()
    assert running is not None
    running.messages += [{"level": 20, "text": t, "tags": "", "safe": False} for t in texts]


@background.task()
def again() -> None:
    """Fail, and be tried again."""
    raise ValueError("the chat said 😀")
