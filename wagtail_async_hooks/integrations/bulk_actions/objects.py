"""One object of a bulk action, done in one transaction with the row that says so."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.db.models import Model
from django.http import Http404
from django.utils.text import capfirst
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from treebeard.mp_tree import MP_Node
from wagtail.log_actions import registry as log_registry

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.exceptions import TargetGone
from wagtail_async_hooks.integrations.bulk_actions.calls import BulkCall, Refused, label_of, told
from wagtail_async_hooks.queue.titles import explanation
from wagtail_async_hooks.types import ItemState
from wagtail_async_hooks.utils import catching
from wagtail_async_hooks.utils.database.errors import is_away, is_contention
from wagtail_async_hooks.utils.errors import report
from wagtail_async_hooks.utils.text import MAX_TEXT, shortened, storable

logger = logging.getLogger(__name__)

TRIES: Final = 10
"""How often an object is tried whose transaction gets into the way of another one. Where two
actions move the same pages, five were not enough on MariaDB."""

_PAUSE: Final = 0.1
"""Seconds before the second try, at most; twice as many before each further one, up to a limit."""

_LONGEST_PAUSE: Final = 2.0
"""That limit, in seconds."""


class ObjectRunner:
    """Deals with the objects of a bulk action, one at a time.

    :param call: what was asked for.
    :param task: primary key of the ledger's row.
    """

    def __init__(self, call: BulkCall, task: int) -> None:
        self.call = call
        self.task = task
        self.gone: dict[str, Model] = {}
        """What it has deleted, by the keys, for hooks; without any, no more than the first."""
        self.aliases = (ledger.database(), router.db_for_write(call.model))
        """The databases of the ledger and of the objects."""
        self._used: list[Any] = []

    def run(self, key: Any) -> bool:
        """Deal with one object, and record what became of it; return whether it is done.

        :raises TargetGone: if an object that the form names was deleted.
        :raises DatabaseError: if the database is away.
        """
        for attempt in range(1, TRIES + 1):
            try:
                self._run(key)
                return True
            except TargetGone:
                raise
            except BaseException as error:
                if catching.passes(error):
                    raise
                is_temporary = is_contention(error) or self._was_cut_off(error)
                if attempt == TRIES or not is_temporary or is_away(error, self.aliases):
                    self._failed(key, error)
                    return False
            time.sleep(random.uniform(0, min(_PAUSE * 2**attempt, _LONGEST_PAUSE)))
        raise AssertionError("the last try returns or raises")

    def _run(self, key: Any) -> None:
        with ExitStack() as transactions:
            # The ledger's first: should it be elsewhere, it commits after the object.
            for alias in dict.fromkeys(self.aliases):
                transactions.enter_context(transaction.atomic(using=alias))
            self._used = [connections[alias].connection for alias in self.aliases]
            exists = self._lock(key)
            known = ledger.state_of(self.task, str(key))
            if known is ItemState.DONE:
                return  # by a worker that was thought dead and was not
            if exists:
                found, counts = self.call.execute(key)
                label = storable(label_of(found))
            elif self.call.deletes():
                found, counts, label = None, [0, 0], self._name(key)
            else:
                raise Refused(_("It was deleted meanwhile."))
            done, is_new = ItemState.DONE, known is None
            ledger.record_item(self.task, str(key), label, done, result=counts, is_new=is_new)
        is_gone = found is not None and (self.call.deletes() or found.pk is None)
        if found is not None and is_gone and (not self.gone or self.call.has_hooks()):
            self.gone[ledger.item_key(str(key))] = found

    def _was_cut_off(self, error: BaseException) -> bool:
        """Return whether a database was away for a moment; Django has connected again by now."""
        now = [connections[alias].connection for alias in self.aliases]
        return isinstance(error, OperationalError | InterfaceError) and now != self._used

    def _lock(self, key: Any) -> bool:
        """Let others who change the object wait; return whether there is one.

        It is the first thing that the transaction does, so that what it reads is what they left.
        Bulk actions on a tree take turns, object by object, by the lock of its first node: what
        one of them moves changes the paths of all that is below, and those of another's parents.
        """
        rows = self.call.model._base_manager.using(self.aliases[1]).select_for_update()
        if issubclass(self.call.model, MP_Node):
            rows.order_by("path").values_list("pk").first()
        return rows.filter(pk=key).values_list("pk").first() is not None

    def _failed(self, key: Any, error: BaseException) -> None:
        if is_away(error, self.aliases):
            raise error
        if isinstance(error, Http404):
            error = Refused(_("It was deleted meanwhile."))
        if not isinstance(error, Refused):
            label = self.call.model._meta.label
            report(logger, error, "A bulk action failed for %s %s.", label, key)
        text = storable(shortened(self._reason(error), MAX_TEXT))
        ledger.record_item(self.task, str(key), self._name(key), ItemState.FAILED, error=text)

    def _reason(self, error: BaseException) -> str:
        """Return what went wrong, in the words of the action or of the site where there are any."""
        own = getattr(self.call.action_class, "background_explain", None)
        explain = conf.current().bulk_actions.explain if own is None else own
        return explanation(explain, error, get_language()) or told(error)

    def _name(self, key: Any) -> str:
        """Return what an object is called; one that is gone, as Wagtail's log calls it."""
        model = self.call.model
        found = model._base_manager.using(self.aliases[1]).filter(pk=key).first()
        if found is not None:
            return storable(label_of(found))
        logs = log_registry.get_logs_for_instance(model(pk=key)).order_by("-timestamp")
        name = logs.values_list("label", flat=True).first()
        return str(name or f"{capfirst(model._meta.verbose_name)} {key}")
