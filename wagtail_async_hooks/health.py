"""A view that tells load balancers and monitors whether background tasks are run."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf import validators
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

_AS_SET: Final[Any] = object()


@never_cache
@require_safe
@transaction.non_atomic_requests
def background_health(
    request: HttpRequest, *, max_wait: float | None = _AS_SET, min_workers: int = _AS_SET
) -> HttpResponse:
    """Answer 200 if tasks are run as they should be, else 503.

    The answer is ``"ok"`` or ``"failing"``; users who may see all background tasks in the admin get
    reasons and numbers as well.

    :param max_wait: seconds for which the oldest task may have waited, ``None`` for any number;
        ``WAGTAIL_TASKS["HEALTH"]["max_wait"]``, if not given.
    :param min_workers: how many workers have to be alive;
        ``WAGTAIL_TASKS["HEALTH"]["min_workers"]``, if not given.
    :raises TypeError: if an argument is of a wrong type.
    """
    # Not above: web processes of sites that import this need neither before somebody asks.
    from wagtail_async_hooks.admin.permissions import may_view_all
    from wagtail_async_hooks.monitoring.health import health

    wait, workers = _thresholds(max_wait, min_workers)
    try:
        found = health(wait, workers)
        user = getattr(request, "user", None)
        details = found.document() if user is not None and may_view_all(user) else {}
    except (DatabaseError, InterfaceError) as error:
        logger.error("The health of background tasks cannot be told: %s", one_line(error))
        return JsonResponse({"status": "failing"}, status=503)
    status = "failing" if found.problems else "ok"
    return JsonResponse({"status": status, **details}, status=503 if found.problems else 200)


def _thresholds(max_wait: Any, min_workers: Any) -> tuple[float | None, int]:
    settings = conf.current().health
    wait = settings.max_wait if max_wait is _AS_SET else max_wait
    workers = settings.min_workers if min_workers is _AS_SET else min_workers
    expected = {
        "max_wait": "" if wait is None else validators.seconds(wait),
        "min_workers": validators.count(workers),
    }
    for name, value in (("max_wait", wait), ("min_workers", workers)):
        if expected[name]:
            raise TypeError(
                f"background_health(…, {name}=…) should be {expected[name]}, but is {value!r}."
            )
    return wait, workers
