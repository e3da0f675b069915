"""Celery apps of a site, one for each broker; tests name them as ``celery -A`` does."""

import os
from typing import Final

from celery import Celery

RABBITMQ: Final = os.environ.get("SITE_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
REDIS: Final = (
    os.environ.get("SITE_REDIS_URL", "redis://127.0.0.1:6379")
    + "/"
    + os.environ.get("SITE_REDIS_DATABASE", "8")
)
NOBODY: Final = "amqp://guest:guest@127.0.0.1:1//"
"""A port on which nothing listens."""


def make(broker: str, **options: object) -> Celery:
    """Make an app as a site would; its tasks are found in the ``tasks`` of its apps."""
    app = Celery("tests", broker=broker)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=True,
        **options,
    )
    app.autodiscover_tasks()
    return app


nobody = make(NOBODY)
own = make(os.environ.get("TEST_CELERY_BROKER", NOBODY))
"""A broker that a test has started."""
redis = make(REDIS)
rabbitmq = make(RABBITMQ)
