"""Start and stop the embedded worker in the configuration of a server."""

from __future__ import annotations

import asyncio
from typing import Any

from wagtail_async_hooks.worker.embedded.process import start, stop

__all__ = ["lifespan", "start", "stop"]


def lifespan(application: Any) -> Any:
    """Return an ASGI application that starts and stops the embedded worker with the server.

    :param application: Django's ASGI application; it gets everything but ASGI's lifespan.
    """

    async def with_worker(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        for stage, act in (("startup", start), ("shutdown", stop)):
            while (await receive())["type"] != f"lifespan.{stage}":
                pass
            await asyncio.to_thread(act)
            await send({"type": f"lifespan.{stage}.complete"})

    return with_worker
