"""The message to the editor when a bulk action has ended: which objects failed, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from wagtail.admin import messages

from wagtail_async_hooks import ledger
from wagtail_async_hooks.integrations.bulk_actions.calls import BulkCall
from wagtail_async_hooks.integrations.bulk_actions.words import counted
from wagtail_async_hooks.models import TaskItem
from wagtail_async_hooks.types import Claim, ItemState

LISTED: Final = 5
"""How many objects a message names; the page of the action has them all."""

_LIST: Final = 1_500
"""Characters of the list: with markup and escapes, what is short can be long."""

_LABEL: Final = 60
_REASON: Final = 120
"""Characters of a name and of a reason."""


def failures(model: type[Model], failed: int, total: int) -> str:
    """Say how many objects failed, in one sentence."""
    told = {"failed": failed, "objects": counted(model, total)}
    return _("%(failed)d of %(objects)s failed.") % told


def tell(call: BulkCall, claim: Claim, total: int, *, was_cancelled: bool) -> None:
    """Tell the editor what was not done, if anything was not."""
    failed = ledger.items(claim.pk).filter(state=ItemState.FAILED)
    number = failed.count()
    if not number and not was_cancelled:
        return
    action = call.action_class.display_name
    said: list[str] = [format_html("“{}”:", action)]
    if was_cancelled:
        done = {
            "done": len(ledger.keys_done(claim.pk)),
            "objects": counted(call.model, total),
        }
        said.append(_("cancelled when %(done)d of %(objects)s were done.") % done)
    if number:
        said.append(failures(call.model, number, total))
        said += _listed(failed[:LISTED], number)
    address = reverse("wagtail_async_hooks:bulk_action", args=[claim.task_id])
    level = messages.error if number else messages.warning
    level(
        call.request,
        format_html_join(" ", "{}", ((part,) for part in said)),
        buttons=[messages.button(address, _("Details"))],
    )


def _listed(failed: Iterable[TaskItem], number: int) -> list[str]:
    """Return a list of objects and reasons, and how many are not in it."""
    shown: list[tuple[str, str]] = []
    listed = ""
    for item in failed:
        shown.append((_short(item.label, _LABEL), _short(item.error, _REASON)))
        longer = format_html_join("", "<li>{}: {}</li>", shown)
        if len(longer) > _LIST:
            shown.pop()
            break
        listed = longer
    said: list[str] = [format_html("<ul>{}</ul>", listed)] if shown else []
    if number > len(shown):
        said.append(_("%d more are on the page of the action.") % (number - len(shown)))
    return said


def _short(text: str, length: int) -> str:
    return str(Truncator(text).chars(length))
