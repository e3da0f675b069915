"""What to type to start a worker, by the site's settings."""

from __future__ import annotations

import shlex

from wagtail_async_hooks import conf


def start_worker() -> str:
    """Return the command that starts a worker of the kind that the settings ask for."""
    settings = conf.current()
    if settings.backend != conf.CELERY:
        return "manage.py wagtail_worker"
    app = str(settings.backend_options.get("app", "mysite"))  # where it is not named, nobody knows
    queue = str(settings.backend_options.get("queue", ""))
    of_queue = f" -Q {shlex.quote(queue)}" if queue else ""
    return f"celery -A {shlex.quote(app)} worker{of_queue}"
