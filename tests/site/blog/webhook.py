"""Tells the webhook what was published, and keeps a record of every attempt."""

import json
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from django.conf import settings
from django.db.models import Model

from .models import Delivery

TIMEOUT = 5


def announce(event: str, subject: Model, username: str) -> None:
    """Send one event; raise what went wrong, after it has been recorded."""
    if not settings.SITE_WEBHOOK_URL:
        return
    delivery = Delivery(
        url=settings.SITE_WEBHOOK_URL,
        event=event,
        payload={
            "event": event,
            "type": subject._meta.label,
            "id": subject.pk,
            "title": str(subject),
            "url": getattr(subject, "full_url", None),
            "user": username,
        },
    )
    try:
        delivery.status = post(delivery.url, delivery.payload)
    except (OSError, HTTPException) as error:
        delivery.error = str(error)
        raise
    finally:
        delivery.save()


def post(url: str, payload: dict[str, Any]) -> int:
    """Post `payload` as JSON, and return the HTTP status of the answer."""
    request = Request(
        url, data=json.dumps(payload).encode(), headers={"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=TIMEOUT) as response:
        return response.status
