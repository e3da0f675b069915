"""Users who are deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.work import tasks
from wagtail_async_hooks.models import BackgroundTask


@pytest.fixture
def task_of_editor(editor: Any) -> BackgroundTask:
    tasks.add(1, 2)
    BackgroundTask.objects.update(user=editor)
    return BackgroundTask.objects.get()


def test_forget_deleted_user__keeps_the_task(task_of_editor: BackgroundTask, editor: Any) -> None:
    editor.delete()
    task_of_editor.refresh_from_db()
    assert task_of_editor.user_id is None


def test_forget_deleted_user__asks_no_table_in_immediate_mode(editor: Any, immediate: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        editor.delete()
    assert not [q for q in queries if "wagtail_async_hooks" in q["sql"]]
