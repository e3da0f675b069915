"""Tests of the tables: a process of an older release goes on when a newer one has migrated."""

from __future__ import annotations

import pytest
from django.apps import apps

from tests import obstacles
from wagtail_async_hooks.models import BackgroundTask

ALWAYS_GIVEN = {
    "worker": {"host", "pid", "threads", "release", "started_at", "heartbeat_at"},
    "backgroundtask": {"task_id", "name", "message", "enqueued_at"},
    "taskattempt": {"task_id", "number", "ended_at"},
    "pause": {"kind", "paused_at"},
    "taskitem": {"task_id", "key", "label", "state", "ended_at"},
    "notice": {"user_id"},
    "taskstatistic": {"worker_id", "start", "queue"},
    "queuesample": {"start", "queue"},
    "hooksample": {"hook", "function", "at", "durations"},
    "mutederror": {"key", "muted_at"},
    "alerttarget": {"name"},
    "alertrecord": {"target", "key", "kind", "since"},
    "schedule": {"name", "time_zone"},
    "storedvalue": {"storage", "key", "value"},
    "counter": {"storage", "key", "value"},
}
"""Columns that each release gives in each row since their tables are there; none is to be added."""

MODELS = list(apps.get_app_config("wagtail_async_hooks").get_models())


@pytest.mark.parametrize("model", MODELS, ids=[model._meta.model_name for model in MODELS])
def test_models__a_column_that_is_added_has_a_default_in_the_database(model: type) -> None:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    required = {f.attname for f in fields if not f.null and not f.has_db_default()}

    assert required == ALWAYS_GIVEN[model._meta.model_name]


@pytest.mark.django_db
def test_models__the_database_has_the_defaults() -> None:
    obstacles.run_sql(
        f"INSERT INTO {obstacles.TABLE} (task_id, name, message, enqueued_at) "
        "VALUES ('an id', 'a name', '{}', '2026-01-01 00:00:00')"
    )

    row = BackgroundTask.objects.get()
    for field in BackgroundTask._meta.concrete_fields:
        if field.has_db_default():
            assert getattr(row, field.attname) == field.get_default(), field.attname
