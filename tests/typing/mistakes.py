"""Mistakes: each line that ends with ``# wrong`` is to be reported, and no other."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save
from django.http import HttpRequest

from wagtail_async_hooks import bakground  # wrong
from wagtail_async_hooks import background, hooks, progress, receiver
from wagtail_async_hooks import arguments, catalogue, control, pausing, schedule, went_live


@hooks.register("after_publish_page", background=True)
def purge(request: HttpRequest, page: object) -> str:
    """A hook."""
    return ""


@receiver(post_save, background=True)
def saved(sender: Any, instance: object, **kwargs: Any) -> int:
    """A receiver."""
    return 1


@background.task()
def count_words(text: str) -> int:
    """A task."""
    return len(text)


@background.task()
async def translate(text: str) -> str:
    """A coroutine function."""
    return text


def calls(request: HttpRequest) -> tuple[int, str, int]:
    """Calls that cannot work."""
    purge(request)  # wrong
    purge("x", 1)  # wrong
    number: int = purge(request, 1)  # wrong
    saved(1)  # wrong
    count_words(5)  # wrong
    count_words()  # wrong
    count_words("a", "b")  # wrong
    count_words(words="a")  # wrong
    count_words.call_local(5)  # wrong
    count_words.s(5)  # wrong
    count_words.s("a", words=2)  # wrong
    count_words.schedule(("a",), dely=5)  # wrong
    count_words.map(5)  # wrong
    text: str = count_words("a").get(blocking=True)  # wrong
    count_words("a") + 1  # wrong
    count_words.delay("a")  # wrong
    translate(5)  # wrong
    length: int = translate("a").get(blocking=True)  # wrong
    progress("half")  # wrong
    return number, text, length


hooks.register("after_edit_page", purge, background=True, prioritty=5)  # wrong
hooks.register("after_edit_page", purge, background="yes")  # wrong
hooks.register("after_edit_page", purge, background=True, retries="3")  # wrong
receiver(post_save, background=True, cueue="slow")  # wrong
background.task(retrys=3)  # wrong
background.task(queue=5)  # wrong
background.periodic_task("@daily", coalesce="{page.pk}")  # wrong
background.task(priority="high")  # wrong
hooks.regster("after_edit_page", purge)  # wrong
hooks.register("after_edit_page", purge, background=True, timeout="5s")  # wrong
hooks.register_temporarily("after_edit_page", purge, background=True, titel="x")  # wrong
hooks.suppress(5)  # wrong
background.task(explain="away")  # wrong
background.task(forget_arguments="yes")  # wrong
background.periodic_task("@daily", timezone="Europe/Berlin")  # wrong
control.select(hok="after_edit_page")  # wrong
control.retry("failed")  # wrong
pausing.pause("slow")  # wrong
schedule.run_now(5)  # wrong
catalogue.add("after_payment", 5)  # wrong
arguments.register(str, encode=5, decode=str)  # wrong
went_live("page")  # wrong
