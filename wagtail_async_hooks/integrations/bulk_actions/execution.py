"""Runs a bulk action in a worker: its objects one after the other, then its hooks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from django.apps import apps
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _
from huey.exceptions import CancelExecution, RetryTask
from wagtail import hooks
from wagtail.admin import messages

from wagtail_async_hooks import current_task, ledger
from wagtail_async_hooks.exceptions import ObjectsFailed, TargetGone
from wagtail_async_hooks.integrations.bulk_actions import summary
from wagtail_async_hooks.integrations.bulk_actions.calls import BulkCall, is_followed_by_hooks
from wagtail_async_hooks.integrations.bulk_actions.objects import ObjectRunner
from wagtail_async_hooks.integrations.bulk_actions.registry import find
from wagtail_async_hooks.queue.claims import CANCELLED
from wagtail_async_hooks.queue.progress import progress
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization.arguments import CarriedRequest, ModelSequence
from wagtail_async_hooks.types import Claim
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.database.errors import is_away

CHUNK: Final = 100
"""Objects that are read at once for what follows."""

AWAY_DELAY: Final = 5
"""Seconds after which an action goes on that an outage of the database cut off."""


@background.own_task("run_bulk_action")
def run_bulk_action(
    name: str, objects: ModelSequence, form: Any, request: CarriedRequest
) -> dict[str, int]:
    """Do a bulk action, each object in a transaction of its own.

    An attempt that follows another one passes over what that one has done.

    :param name: of the action, such as ``wagtailcore.page.publish``.
    :param objects: what to do it to; only their keys are used.
    :param form: what is carried of the form.
    :param request: that of the confirmation page.
    :returns: how many objects were ``done``.
    :raises ObjectsFailed: if some objects failed; the others are done.
    """
    running = current_task.running()
    assert running is not None
    assert running.claim is not None  # in immediate mode nothing is recorded
    [(label, _, _)] = objects.runs
    call = BulkCall(find(name), apps.get_model(label), form, request)
    return BulkRun(call, objects.keys, running.claim).run()


class BulkRun:
    """One attempt at a bulk action.

    :param call: what was asked for.
    :param keys: primary keys of all objects, in the order in which Wagtail would take them.
    :param claim: the ledger's row.
    """

    def __init__(self, call: BulkCall, keys: list[Any], claim: Claim) -> None:
        self.call = call
        self.keys = keys
        self.claim = claim
        self.failed = 0
        self.runner = ObjectRunner(call, claim.pk)

    def run(self) -> dict[str, int]:
        """Do what is not done yet, and say how it ended."""
        try:
            return self._run()
        except (OperationalError, InterfaceError) as error:
            if is_away(error, self.runner.aliases):
                raise RetryTask("the database was away", delay=AWAY_DELAY) from error
            raise

    def _run(self) -> dict[str, int]:
        done = ledger.keys_done(self.claim.pk)
        left = [key for key in self.keys if ledger.item_key(str(key)) not in done]
        cancelled = ""
        try:
            if not self._work_through(left, len(self.keys) - len(left)):
                cancelled = CANCELLED
            if not ledger.is_held(self.claim):
                raise CancelExecution(CANCELLED, retry=False)  # another worker goes on with it
            with transaction.atomic(using=ledger.database()):
                self._tell_hooks()
        except TargetGone as gone:  # what the form names, without which there is no action
            cancelled = str(gone)
        except (CancelExecution, OperationalError, InterfaceError):
            raise
        except BaseException as error:  # of a hook; what became of the objects is told all the same
            if passes(error):
                raise
            self._tell_editor(cancelled)
            raise
        self._tell_editor(cancelled)
        if cancelled:
            raise CancelExecution(cancelled, retry=False)
        if self.failed:
            raise ObjectsFailed(summary.failures(self.call.model, self.failed, len(self.keys)))
        return {"done": len(self.keys)}

    def _work_through(self, left: list[Any], done: int) -> bool:
        """Deal with objects; return whether all had their turn."""
        for number, key in enumerate(left, start=done):
            self._report(number)
            if not ledger.goes_on(self.claim):
                return False
            if not self.runner.run(key):
                self.failed += 1
        self._report(len(self.keys))
        return True

    def _report(self, done: int) -> None:
        note = _("%d failed") % self.failed if self.failed else ""
        with suppress(CancelExecution):  # that is asked for before each object, too
            progress(done, len(self.keys), note)

    # What follows ---------------------------------------------------------------------------

    def _tell_editor(self, cancelled: str) -> None:
        summary.tell(self.call, self.claim, len(self.keys), was_cancelled=bool(cancelled))

    def _tell_hooks(self) -> None:
        """Let hooks know what is done, and the editor what Wagtail would say."""
        items = ledger.items_to_tell_of(self.claim.pk)
        if not items:
            return
        objects = self._objects([item.key for item in items])
        action = self.call.action_after(objects)
        if not self._after_bulk_action(action, objects):
            counts = [sum((item.result or (0, 0))[place] for item in items) for place in (0, 1)]
            message = action.get_success_message(*counts) if objects else None
            if message is not None:
                messages.success(self.call.request, message)
        if is_followed_by_hooks(action):
            action.run_after_hook()
        ledger.told_of(items)

    def _objects(self, done: list[str]) -> list[Model]:
        """Return the objects that are done; of those an earlier attempt deleted nothing is left.

        None is kept while the others are dealt with, as there may be many, but for what was
        deleted. Without hooks nobody asks for more than one.

        :param done: their keys in the ledger.
        """
        found: dict[str, Model] = dict(self.runner.gone)
        known = {ledger.item_key(str(key)): key for key in self.keys}
        left = [known[key] for key in done if key in known and key not in found]
        rows = self.call.model._base_manager.all()
        for begin in range(0, len(left), CHUNK):
            if found and not self.call.has_hooks():
                break
            for key, row in rows.in_bulk(left[begin : begin + CHUNK]).items():
                found[ledger.item_key(str(key))] = row
        return [found[key] for key in done if key in found]

    def _after_bulk_action(self, action: Any, objects: list[Model]) -> bool:
        """Call the site's hooks; return whether one has answered with a response, which ends it."""
        for hook in hooks.get_hooks("after_bulk_action"):
            response = hook(action.request, action.action_type, objects, action)
            if hasattr(response, "status_code"):
                return True
        return False
