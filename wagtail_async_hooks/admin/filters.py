"""The filters of the report of tasks, which are not those of a queryset: see ``finding``."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import django_filters
from django import forms
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from wagtail.admin.filters import DateRangePickerWidget, WagtailFilterSet
from wagtail.admin.utils import get_user_display_name

from wagtail_async_hooks.admin.links import BULK_ACTION
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import finding, overview, registered
from wagtail_async_hooks.monitoring.finding import Criteria
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.models import to_key

Choices = list[tuple[str, Any]]


class TaskFilterSet(WagtailFilterSet):  # type: ignore[misc]  # Wagtail has no types
    """What the report of tasks can be narrowed to."""

    state = django_filters.ChoiceFilter(
        label=_("State"), choices=State.choices, empty_label=_("All"), widget=forms.RadioSelect
    )
    object = django_filters.CharFilter(
        label=_("Object"), help_text=_("Its title, or its kind and number: blog.blogpage 12")
    )
    hook = django_filters.ChoiceFilter(label=_("Hook"), empty_label=_("All"))
    function = django_filters.ChoiceFilter(label=_("Function"), empty_label=_("All"))
    queue = django_filters.ChoiceFilter(label=_("Queue"), empty_label=_("All"))
    user = django_filters.ChoiceFilter(label=_("Caused by"), empty_label=_("All"))
    enqueued = django_filters.DateFromToRangeFilter(label=_("Date"), widget=DateRangePickerWidget)
    error = django_filters.CharFilter(label=_("Error"))
    release = django_filters.ChoiceFilter(label=_("Release"), empty_label=_("All"))

    class Meta:
        model = BackgroundTask
        fields: list[str] = []

    def __init__(self, *args: Any, views_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, queryset=BackgroundTask.objects.none(), **kwargs)
        self.users: dict[Any, Any] = {}
        if not views_all:  # whose choices would tell of what others do
            for name in ("user", "release"):
                del self.filters[name]
        for name, choices in self._choices(views_all):
            field = self.filters[name]
            given = self.data.get(name)
            if given and "\x00" not in given and given not in dict(choices):
                choices = [*choices, (given, given)]
            field.extra["choices"] = choices

    def _choices(self, views_all: bool) -> Iterable[tuple[str, Choices]]:
        listed = [each for each in registered.listed() if not each.synchronous]
        yield "hook", [(name, name) for name in sorted({each.hook for each in listed} - {""})]
        paths = sorted({each.function for each in listed})
        yield "function", [(BULK_ACTION, _("Bulk actions")), *((path, path) for path in paths)]
        yield "queue", [(name, name) for name in sorted(registered.queues())]
        if views_all:
            self.users = _users()
            yield "user", [(str(key), get_user_display_name(u)) for key, u in self.users.items()]
            yield "release", [(name, name) for name in finding.releases() if name]

    def filter_queryset(self, queryset: Any) -> Any:
        """Leave it as it is: what is asked for is in :meth:`criteria`."""
        return queryset

    def criteria(self) -> dict[str, Any]:
        """Return what is asked for, as :class:`~.monitoring.finding.Criteria` takes it."""
        if not self.is_valid():
            return {}
        given = self.form.cleaned_data
        names = ("state", "hook", "function", "queue", "error", "release")
        asked: dict[str, Any] = {name: given[name] for name in names if given.get(name)}
        if given.get("user"):
            key = to_key(get_user_model(), given["user"])
            asked["user"] = 0 if key is None else key  # which nobody has
        if (period := given.get("enqueued")) is not None:
            asked |= {"since": _aware(period.start), "until": _aware(period.stop)}
        if given.get("object"):
            asked |= _of_object(given["object"])
        return asked


def _users() -> dict[Any, Any]:
    """Return those who caused the newest tasks, by primary key."""
    keys = [group.user for group in overview.by_user()]
    users = get_user_model()._base_manager.in_bulk(keys)
    return {key: users[key] for key in keys if key in users}


def _aware(moment: datetime.datetime | None) -> datetime.datetime | None:
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment)


def _of_object(text: str) -> dict[str, Any]:
    """Return criteria for an object: by its kind and primary key, or by a part of its title."""
    label, _, key = text.strip().partition(" ")
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return {"about": text.strip()}
    kind = ContentType.objects.get_for_model(model).pk
    return {"subject": (kind, key.strip())}


def criteria_of(
    filters: TaskFilterSet | None, *, text: str, before: str | None, arguments: bool
) -> Criteria:
    """Return what a request asks for.

    :param text: of the search box.
    :param before: primary key behind which to go on.
    :param arguments: whether arguments are searched, too.
    """
    asked = {} if filters is None else filters.criteria()
    if before and before.isdecimal() and len(before) < 19:
        asked["before"] = int(before)
    return Criteria(**asked, text=text, arguments=arguments)


def label_of(row: BackgroundTask) -> str:
    """Return how the filter names a row's object exactly."""
    kind = row.subject_type
    return "" if kind is None else f"{kind.app_label}.{kind.model} {row.subject_id}"
