"""Functions that tests make tasks of ``TASKS`` of, once with each of the two APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

from tests.work.tasks import leave_trace
from wagtail_async_hooks import Snooze, background_task, progress


def add(a: int, b: int = 1) -> int:
    """Return a sum."""
    return a + b


def fail(text: str = "no luck") -> None:
    """Raise an error."""
    raise ValueError(text)


def return_a_set() -> Any:
    """Return what is not JSON."""
    return {1, 2}


def see_context(context: Any, *, word: str) -> list[Any]:
    """Return what the context says."""
    result = context.task_result
    return [word, context.attempt, result.status.name, result.id, result.args, result.kwargs]


async def add_slowly(a: int, b: int) -> int:
    """Return a sum, from a coroutine."""
    return a + b


def report(path: str) -> None:
    """Leave a trace and report progress, as any other background task can."""
    leave_trace(path, background_task.attempt)
    progress(1, 2, "half")


def about_object(app_label: str, model_name: str, pk: str) -> None:
    """Do nothing about an object."""


async def wait_long(seconds: int) -> None:
    """Wait, in a coroutine."""
    await asyncio.sleep(seconds)


def put_off(path: str) -> str:
    """Ask to be called again, at first."""
    leave_trace(path, "called")
    if len(Path(path).read_text().splitlines()) < 2:
        raise Snooze(0)
    return "done"


def make_tasks(task: Callable[..., Any], namespace: dict[str, Any]) -> None:
    """Put the tasks into a module, so that they are found there by their names."""
    options = {see_context: {"takes_context": True}, add_slowly: {"priority": 10}}
    functions = (add, fail, return_a_set, see_context, add_slowly, report, about_object)
    for function in (*functions, wait_long, put_off):
        copy = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        copy.__module__ = namespace["__name__"]
        copy.__qualname__ = function.__name__
        namespace[function.__name__] = task(**options.get(function, {}))(copy)
