"""One call of a task of ``TASKS``: as serialized for the worker, and as results describe it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

from wagtail_async_hooks.integrations.tasks_backend.apis import APIS, Api, api_of
from wagtail_async_hooks.integrations.tasks_backend.lookup import find
from wagtail_async_hooks.utils import signatures
from wagtail_async_hooks.utils.time import as_django, aware

_PLAIN: Final = frozenset({str, int, bool, type(None)})
"""Types that JSON has; the arguments of Wagtail's own tasks are of no others."""


@dataclass(frozen=True, repr=False)
class Call:
    """A call, in values that can be carried.

    :param api: name of the API that the task was made with.
    :param path: of the task.
    :param backend: alias of the backend.
    :param args: in JSON's types, as are ``kwargs``.
    """

    api: str
    path: str
    backend: str
    queue_name: str
    priority: int
    run_after: datetime.datetime | None
    enqueued_at: datetime.datetime
    args: list[Any]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Call of {self.path}>"

    @classmethod
    def of(cls, task: Any, args: Any, kwargs: Any, enqueued_at: datetime.datetime) -> Call:
        """Return a call of a task.

        :raises TypeError: if an argument cannot be JSON.
        """
        api = api_of(task)
        call = cls(
            api.name,
            task.module_path,
            task.backend,
            task.queue_name,
            task.priority,
            task.run_after,
            enqueued_at,
            list(args) if all(type(arg) in _PLAIN for arg in args) else api.normalize_json(args),
            api.normalize_json(kwargs) if kwargs else {},
        )
        vars(call)["task"] = task  # it need not be looked up
        return call

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Call:
        """Return the call that was carried, without what others have added to it."""
        enqueued_at = as_django(datetime.datetime.fromisoformat(payload["enqueued_at"]))
        carried = {name: payload[name] for name in _NAMES}
        return cls(**{**carried, "enqueued_at": enqueued_at})

    def payload(self) -> dict[str, Any]:
        """Return what is carried."""
        carried = {name: getattr(self, name) for name in _NAMES}
        # A text, which is carried with less effort; in UTC.
        carried["enqueued_at"] = aware(self.enqueued_at).isoformat()
        return carried

    @property
    def package(self) -> Api:
        """The API that the task was made with."""
        return APIS[self.api]

    @cached_property
    def task(self) -> Any:
        """The task.

        :raises UnknownTask: if there is none in this process.
        """
        found = find(self.path, self.package)
        return found.using(
            priority=self.priority,
            queue_name=self.queue_name,
            run_after=self.run_after,
            backend=self.backend,
        )

    @property
    def named(self) -> Mapping[str, Any]:
        """The arguments by name; those that do not fit are told of when the task runs."""
        given = [None, *self.args] if self.task.takes_context else self.args
        return signatures.named(self.task.func, given, self.kwargs)

    def result(self, task_id: str, status: str, **known: Any) -> Any:
        """Return a ``TaskResult`` of this call.

        :param status: name of one of the API's.
        :param known: what else is known of the result.
        """
        base = self.package.base
        value = known.pop("return_value", None)
        unknown: dict[str, Any] = dict.fromkeys(("started_at", "finished_at", "last_attempted_at"))
        lists: dict[str, Any] = {"errors": [], "worker_ids": []}
        made = base.TaskResult(
            task=self.task,
            id=task_id,
            status=base.TaskResultStatus[status],
            args=self.args,
            kwargs=self.kwargs,
            backend=self.backend,
            **{"enqueued_at": self.enqueued_at, **unknown, **lists, **known},
        )
        amend(made, _return_value=value)
        return made


_NAMES: Final = tuple(field.name for field in fields(Call))


def amend(result: Any, **values: Any) -> Any:
    """Change a result, which is frozen, as the API's own backends do; return it."""
    for name, value in values.items():
        object.__setattr__(result, name, value)
    return result
