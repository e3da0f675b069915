"""The confirmation page of a bulk action, which enqueues one task."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.db import models, router, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from huey.api import Task
from wagtail import hooks

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import Explain
from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.integrations.bulk_actions.forms import encode_form
from wagtail_async_hooks.integrations.bulk_actions.registry import name_of
from wagtail_async_hooks.integrations.bulk_actions.words import counted
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.submission import Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization import fields
from wagtail_async_hooks.serialization.arguments import ModelSequence
from wagtail_async_hooks.utils.text import one_line

if TYPE_CHECKING:
    from wagtail.admin.views.bulk_action import BulkAction
else:
    BulkAction = object  # what a mixin is mixed into

logger = logging.getLogger(__name__)


class BackgroundBulkActionMixin(BulkAction):  # type: ignore[misc]  # Wagtail has no types
    """Lets a bulk action of many objects run in a worker.

    Put it before Wagtail's class. The worker calls the methods that the request would call, with
    one object at a time: ``get_queryset()``, ``get_actionable_objects()`` and with it
    ``check_perm()``, ``annotate_items()``, ``prepare_action()``, ``get_execution_context()`` and
    ``execute_action()``. The form has only ``cleaned_data``, and the request is that of a
    background hook.
    """

    background_explain: Explain | None = None
    """What errors mean, for editors, by class or dotted path; by default what the settings say."""

    background_threshold: int | None = None
    """So many objects are done in the request still; by default what the settings say."""

    is_recorded = False
    """Whether a worker is to do it, rather than this request."""

    model: type[models.Model]
    request: HttpRequest
    next_url: str

    @property
    def name(self) -> str:
        """Name of the action, such as ``wagtailcore.page.publish``."""
        return name_of(self.model, self.action_type)

    def wants_background(self) -> bool:
        """Return whether the action is to run in the background, if it has enough objects."""
        return True

    def form_valid(self, form: Any) -> HttpResponse:
        """Record a task for many objects; do a few at once, as Wagtail does."""
        if background.immediate or not self.wants_background() or self._is_small():
            return super().form_valid(form)  # type: ignore[no-any-return]
        self.cleaned_form = form
        objects, without_access = self.get_actionable_objects()
        if len(objects) <= self._threshold():
            return super().form_valid(form)  # type: ignore[no-any-return]
        self.actionable_objects = self.annotate_items(objects)
        response = self.prepare_action(objects, without_access)
        if hasattr(response, "status_code"):
            return response  # type: ignore[no-any-return]
        try:
            task = self._task(objects, form)
        except CannotSerialize as error:
            logger.error("The bulk action %s runs in the request: %s", self.name, one_line(error))
            return super().form_valid(form)  # type: ignore[no-any-return]
        return self._recorded(task, objects) or super().form_valid(form)

    def _threshold(self) -> int:
        own = self.background_threshold
        return conf.current().bulk_actions.threshold if own is None else own

    def _is_small(self) -> bool:
        """Return whether so few objects are chosen that there is no need to look at them first."""
        chosen = self.request.GET.getlist("id")
        return "all" not in chosen and len(chosen) <= self._threshold()

    def _task(self, objects: Sequence[models.Model], form: Any) -> Task:
        # Not above: only workers, and those who enqueue a task for them, need what runs it.
        from wagtail_async_hooks.integrations.bulk_actions.execution import run_bulk_action

        alias = router.db_for_write(self.model)
        keys = [fields.key_of(found) for found in objects]
        references = ModelSequence([(self.model._meta.label_lower, alias, keys)])
        arguments = (self.name, references, encode_form(form), self.request)
        definition = run_bulk_action.task_class.definition
        submission = Submission(options=definition.options(None)._replace(title=self._title(keys)))
        return run_bulk_action.task_class(arguments, {}, submission=submission)

    def _title(self, keys: Sequence[Any]) -> str:
        """Return what people read of the task, as a template without names: "Publish: 3 pages"."""
        told = {"action": self.display_name, "objects": counted(self.model, len(keys))}
        return (_("%(action)s: %(objects)s") % told).replace("{", "{{").replace("}", "}}")

    def _recorded(self, task: Task, objects: Sequence[models.Model]) -> HttpResponse | None:
        """Ask the site's hooks and enqueue a task; return ``None`` if it could not be enqueued."""
        problems: list[Exception] = []
        self.is_recorded = True
        with transaction.atomic(using=router.db_for_write(self.model)):
            response = self._refused(objects)
            if response is not None:
                return response
            enqueue.enqueue(task, otherwise=problems.append)
        for problem in problems:
            logger.error(
                "The bulk action %s could not be recorded as a task, so it runs in the request.",
                self.name,
                exc_info=problem,
            )
            self.is_recorded = False
            return None
        address = reverse("wagtail_async_hooks:bulk_action", args=[task.id])
        return redirect(f"{address}?{urlencode({'next': self.next_url})}")

    def _refused(self, objects: Sequence[models.Model]) -> HttpResponse | None:
        """Ask the site's hooks, the first of which that answers with a response stops it all."""
        for hook in hooks.get_hooks("before_bulk_action"):
            response = hook(self.request, self.action_type, objects, self)
            if hasattr(response, "status_code"):
                return response  # type: ignore[no-any-return]
        return None
