"""What a function sees differently in a worker, by design: a table. All else is the same.

The page *Arguments* has the same table; ``tests/project/test_docs.py`` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from tests.fidelity.observing import SECRET

ABSENT: Final = "(not there)"
"""Stands for a value that only one of the two has seen."""

Path = tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """One difference between what two functions saw of the same event.

    :param hook: that both were called for.
    :param path: where they differ.
    :param request: what was seen in the request.
    :param worker: what was seen in the worker.
    :param scenario: what the editor did.
    :param action: of ``after_bulk_action``, what was done.
    """

    hook: str
    path: Path
    request: Any
    worker: Any
    scenario: str
    action: str

    def __str__(self) -> str:
        return (
            f"{'.'.join(self.path)}\n"
            f"    in the request: {_shortened(self.request)}\n"
            f"    in the worker:  {_shortened(self.worker)}"
        )


def _shortened(value: Any, length: int = 300) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}…"


def compare(request: Any, worker: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Yield where two observations differ; of what only one has seen, the topmost part."""
    if isinstance(request, dict) and isinstance(worker, dict):
        for key in {**request, **worker}:
            yield from compare(request.get(key, ABSENT), worker.get(key, ABSENT), (*path, str(key)))
    elif request != worker:
        yield path, request, worker


def _always(request: Any, worker: Any) -> bool:
    return True


def _only_in_request(request: Any, worker: Any) -> bool:
    return bool(worker == ABSENT)


def _only_in_worker(request: Any, worker: Any) -> bool:
    return bool(request == ABSENT)


def _lost_a_secret(request: Any, worker: Any) -> bool:
    return worker == ABSENT or bool(request == f"{worker}&{urlencode(SECRET)}")


def _lost_its_class(request: Any, worker: Any) -> bool:
    return request == ABSENT or (request, worker) == ("wagtailcore.Page", "fidelity.Dossier")


def _has_kept_its_key(request: Any, worker: Any) -> bool:
    return request is None and (isinstance(worker, int) or str(worker).startswith("UUID "))


def _same_to_the_millisecond(request: Any, worker: Any) -> bool:
    length = len("datetime 2026-05-01T00:00:00.000")
    return str(request)[:length] == str(worker)[:length] and str(worker)[length:] == "000+00:00"


def _more_in_worker(request: Any, worker: Any) -> bool:
    return request in (ABSENT, 0, []) and worker not in (ABSENT, 0, [])


def _is(expected_request: Any, expected_worker: Any) -> Callable[[Any, Any], bool]:
    return lambda request, worker: (request, worker) == (expected_request, expected_worker)


@dataclass(frozen=True)
class Difference:
    """A row of the table.

    :param hooks: names of hooks; none stands for all.
    :param what: in words, for the documentation.
    :param request: what a function sees in the request, in words.
    :param worker: what it sees in a worker, in words.
    :param why: the reason, in words.
    :param paths: where that is; ``*`` stands for any one step, a last ``**`` for all below.
    :param holds: whether two values differ in the way that is meant.
    :param actions: of ``after_bulk_action``; none stands for all.
    :param scenarios: in which it may be; none stands for all.
    """

    hooks: tuple[str, ...]
    what: str
    request: str
    worker: str
    why: str
    paths: tuple[str, ...]
    holds: Callable[[Any, Any], bool] = _always
    actions: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()

    def explains(self, found: Found) -> bool:
        """Return whether this row is about a difference that was found."""
        return (
            (not self.hooks or found.hook in self.hooks)
            and (not found.action or not self.actions or found.action in self.actions)
            and (not self.scenarios or found.scenario in self.scenarios)
            and any(_matches(found.path, pattern) for pattern in self.paths)
            and self.holds(found.request, found.worker)
        )

    def cells(self) -> tuple[str, ...]:
        """Return the row as the documentation has it."""
        hooks = ", ".join(f"`{hook}`" for hook in self.hooks) or "every one"
        return (hooks, self.what, self.request, self.worker, self.why)


def _matches(path: Path, pattern: str) -> bool:
    steps = pattern.split(".")
    if steps[-1] == "**":  # whatever is below
        steps, path = steps[:-1], path[: len(steps) - 1]
    return len(steps) == len(path) and all(
        step in ("*", found) for step, found in zip(steps, path, strict=True)
    )


def _within(argument: str, *fields: str) -> tuple[str, ...]:
    return tuple(f"{argument}.{field}" for field in fields)


_STATE: Final = (
    "live",
    "has_unpublished_changes",
    "live_revision_id",
    "first_published_at",
    "last_published_at",
)
"""Fields that tell whether and since when something is published."""

_DELETE: Final = ("after_delete_page", "after_delete_snippet", "after_delete_user")
_DELETE_ANY: Final = (*_DELETE, "after_bulk_action")
_RELATED: Final = ("tags", "authors", "tagged_items.*", "chapters.*", "labels.*")

HEADINGS: Final = ("Hook", "What", "In the request", "In a worker", "Why")

DIFFERENCES: Final = (
    Difference(
        (),
        "the class of `request`",
        "`WSGIRequest` or `ASGIRequest`",
        "`CarriedRequest`",
        "the request is over; all are `HttpRequest`s",
        ("request.type",),
        _is("WSGIRequest", "CarriedRequest"),
    ),
    Difference(
        (),
        "`request.POST`, `FILES`, `COOKIES`, `session`",
        "there",
        "raise `NotCarried`",
        "they may hold secrets",
        _within("request", "has_POST", "has_FILES", "has_COOKIES", "has_session"),
        _is(True, False),
    ),
    Difference(
        (),
        "`request.META` and `headers`",
        "all",
        "those that [The request](#the-request) lists",
        "others may hold secrets",
        ("request.META.*", "request.headers.*"),
        _only_in_request,
    ),
    Difference(
        (),
        "parameters named like secrets, in `request.GET` and addresses",
        "there",
        "missing",
        "they may be secrets",
        _within("request", "GET.api_key", "META.QUERY_STRING", "full_path", "absolute_uri"),
        _lost_a_secret,
    ),
    Difference(
        (),
        "what the server and middleware leave on `request`",
        "there",
        "missing",
        "the response has been sent",
        _within("request.has", "environ", "csrf_processing_done"),
        _only_in_request,
    ),
    Difference(
        (),
        "`request.LANGUAGE_CODE`, `time_zone`",
        "missing, unless middleware sets them",
        "the editor's",
        "they are active, too",
        _within("request.has", "LANGUAGE_CODE", "time_zone"),
        _only_in_worker,
    ),
    Difference(
        ("after_copy_page", "after_bulk_action"),
        "the class of `page`, `objects`, and pages in a bulk action's form",
        "`Page`",
        "the specific class",
        "it has the page's fields and children",
        ("page.*", "objects.*.*", "action_instance.cleaned_data.*.*"),
        _lost_its_class,
    ),
    Difference(
        ("after_copy_page",),
        "`new_page.draft_title`, `latest_revision_created_at`",
        "those of the page that was copied",
        "those of the copy",
        "the worker reads the object again",
        _within("new_page", "draft_title", "latest_revision_created_at"),
    ),
    Difference(
        ("after_move_page", "after_bulk_action"),
        "`url_path`, and the address made from it",
        "those before the move",
        "those after it",
        "the worker reads the object again",
        ("page.url_path", "page.url", "objects.*.url_path", "objects.*.url"),
        actions=("move",),
    ),
    Difference(
        ("after_publish", "after_create_snippet", "after_edit_snippet"),
        "whether, since when and by which revision `instance` is published",
        "as before it was published",
        "as it is now",
        "the worker reads the object again",
        _within("instance", *_STATE),
    ),
    Difference(
        (
            "after_copy_page",
            "after_convert_alias_page",
            "after_publish",
            "after_create_snippet",
            "after_edit_snippet",
        ),
        "fields with `auto_now`",
        "when Wagtail wrote the revision",
        "when it saved the object",
        "the worker reads the object again",
        ("new_page.touched", "page.touched", "instance.touched"),
    ),
    Difference(
        ("after_edit_page",),
        "a live page whose changes were scheduled",
        "what is live",
        "what was saved",
        "the hook is about what was saved",
        ("page.**",),
        scenarios=("schedule_changes_of_a_live_page",),
    ),
    Difference(
        ("after_create_page", "after_edit_page"),
        "a scheduled draft: times, and primary keys of new tags and children",
        "those of its rows",
        "those of the revision; new ones have no key",
        "the hooks are about what was saved",
        ("page.touched", *(f"page.tagged_items.*.{name}" for name in ("pk", "id", "adding"))),
        scenarios=("create_and_schedule", "schedule_a_draft"),
    ),
    Difference(
        ("after_publish",),
        "a live snippet whose changes were scheduled",
        "what was saved",
        "what is live",
        "the hook is about what visitors see",
        ("instance.**",),
        scenarios=("schedule_changes_of_a_live_snippet",),
    ),
    Difference(
        ("after_create_page", "after_edit_page"),
        "times in the content of a draft",
        "to the microsecond",
        "to the millisecond",
        "revisions store them so",
        ("page.touched",),
        _same_to_the_millisecond,
    ),
    Difference(
        _DELETE_ANY,
        "whether the object has a row (`_state.adding`)",
        "looks as if it had one",
        "has none",
        "a `save()` by mistake must not look like a change",
        ("page.adding", "instances.*.adding", "user.adding", "objects.*.adding"),
        _is(False, True),
    ),
    Difference(
        ("after_delete_snippet", "after_delete_user"),
        "the primary key of a single deleted object",
        "`None`",
        "the key that it had",
        "the copy is made before the deletion",
        _within("instances.*", "pk", "id", "code") + _within("user", "pk", "id"),
        _has_kept_its_key,
    ),
    Difference(
        _DELETE_ANY,
        "tags, children, and many-to-many relations of models with children",
        "gone",
        "as they were",
        "the copy is made before the deletion",
        (
            *_within("page", "tags", "authors", "tagged_items.*", "chapters.*"),
            "instances.*.labels.*",
            *_within("objects.*", *_RELATED),
        ),
        _more_in_worker,
    ),
    Difference(
        ("after_delete_snippet", "after_delete_user"),
        "many-to-many relations of other models, of a single deleted object",
        "raise `ValueError`",
        "empty",
        "their rows are gone",
        ("instances.*.authors", *_within("user", "groups", "user_permissions")),
        _is({"error": "ValueError"}, []),
    ),
    Difference(
        ("after_delete_user", "after_bulk_action"),
        "`password` of users, and other texts named like secrets",
        "the hash",
        "empty",
        "a hash is a secret",
        ("user.password", "objects.*.password"),
        lambda request, worker: worker == "",
    ),
    Difference(
        ("after_publish",),
        "the primary keys of children that were added",
        "`None`",
        "theirs",
        "the worker reads the object again",
        ("instance.labels.*.pk", "instance.labels.*.id", "instance.labels.*.adding"),
        lambda request, worker: request in (None, True),
    ),
    Difference(
        ("after_bulk_action",),
        "what the action changed in `objects`, such as `live`",
        "as before the action",
        "as after it",
        "the worker reads the object again",
        tuple(f"objects.*.{field}" for field in (*_STATE, "is_active")),
        actions=("publish", "set_active_state"),
    ),
    Difference(
        ("after_bulk_action",),
        "the class of `objects`",
        "`list`",
        "`ModelSequence`",
        "they are read in portions",
        ("objects.type",),
        _is("list", "ModelSequence"),
    ),
    Difference(
        ("after_delete_snippet", "after_bulk_action"),
        "the class of `instances`, or of `objects` of the action `delete`",
        "`list`",
        "`DeletedObjects`",
        "only the first are copied",
        ("instances.type", "objects.type"),
        _is("list", "DeletedObjects"),
    ),
    Difference(
        ("after_bulk_action",),
        "`action_instance`",
        "the view",
        "a `BulkActionInfo`",
        "the view needs its request",
        ("action_instance.type",),
        _is("the view", "BulkActionInfo"),
    ),
)


def markdown() -> str:
    """Return the table as the documentation has it."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells() for row in DIFFERENCES)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
