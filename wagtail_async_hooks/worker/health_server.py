"""A small HTTP server that answers probes: ``/live`` and ``/ready``.

It never waits for a client, so that the parent of worker processes can serve it in between, without
a thread: what it forks would inherit the locks of one. Python's ``http.server`` reads the requests.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any, Final

from wagtail_async_hooks.worker.health import Health

LOOPBACK: Final = "127.0.0.1"
MOST_CLIENTS: Final = 32
"""So many connections are open at once; a further one closes the oldest."""

CLIENT_TIMEOUT: Final = 5.0
"""Seconds that a client gets to send its request."""

MAX_REQUEST: Final = 8192
"""Bytes of a request, with its headers, beyond which it is not read."""


class Address:
    """Where to listen.

    :param text: ``PORT``, ``HOST:PORT`` or ``[HOST]:PORT``.
    :raises ValueError: if it is something else.
    """

    def __init__(self, text: str) -> None:
        host, colon, port = text.rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 2**16) or (colon and not host):
            raise ValueError(text)
        bracketed = host.startswith("[") and host.endswith("]")
        if ":" in host and not bracketed:
            raise ValueError(text)
        self.host = host[1:-1] if bracketed else host or LOOPBACK
        self.port = int(port)

    def __str__(self) -> str:
        """Return it as it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Client:
    """A connection whose request has not come as a whole."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.since = time.monotonic()
        self.received = b""


class HealthServer:
    """Answers probes.

    :param address: where it listens; the system chooses a port in place of 0.
    :param ask: returns how things are; called for each request.
    :raises OSError: if it cannot listen there.
    """

    def __init__(self, address: Address, ask: Callable[[], Health]) -> None:
        self._ask = ask
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._listener = socket.create_server((address.host, address.port), family=family)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._clients: dict[socket.socket, _Client] = {}
        host, port, *_ = self._listener.getsockname()
        self.address = Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        _all.add(self)

    def poll(self, timeout: float) -> None:
        """Serve who is there for some seconds.

        :param timeout: after so many seconds it returns, also if nobody has come.
        """
        deadline = time.monotonic() + timeout
        while True:
            remaining = max(deadline - time.monotonic(), 0)
            for key, _ in self._selector.select(remaining):
                if key.fileobj is self._listener:
                    self._accept()
                elif client := self._clients.get(key.fileobj):  # type: ignore[call-overload]  # a socket
                    self._read(client)
            self._drop_late_ones()
            if time.monotonic() >= deadline:
                return

    def close(self) -> None:
        """Listen no more."""
        for connection in (*self._clients, self._listener):
            connection.close()
        self._clients.clear()
        self._selector.close()
        _all.discard(self)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone away, or no further file can be opened
            return
        connection.setblocking(False)
        if len(self._clients) >= MOST_CLIENTS:
            self._drop(next(iter(self._clients.values())))
        self._clients[connection] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, client: _Client) -> None:
        try:
            received = client.connection.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        client.received += received
        if b"\r\n\r\n" in client.received or len(client.received) > MAX_REQUEST:
            with suppress(OSError):  # it has gone, or does not read the few bytes that it asked for
                client.connection.send(self._answer(client.received))
        elif received:
            return
        self._drop(client)

    def _answer(self, request: bytes) -> bytes:
        answer = BytesIO()
        _Request(request, answer, self._ask)
        return answer.getvalue()

    def _drop(self, client: _Client) -> None:
        self._selector.unregister(client.connection)
        del self._clients[client.connection]
        client.connection.close()

    def _drop_late_ones(self) -> None:
        since = time.monotonic() - CLIENT_TIMEOUT
        for client in [each for each in self._clients.values() if each.since < since]:
            self._drop(client)


class _Request(BaseHTTPRequestHandler):
    """One request, of which everything is there.

    :param request: its bytes.
    :param answer: where the answer is written.
    """

    server_version = "wagtail_worker"
    sys_version = ""

    def __init__(self, request: bytes, answer: BytesIO, ask: Callable[[], Health]) -> None:
        self._received = request
        self._answer = answer
        self._ask = ask
        super().__init__(request, ("", 0), None)  # type: ignore[arg-type]  # there is no server

    def setup(self) -> None:
        """See ``socketserver.BaseRequestHandler``."""
        self.rfile = BytesIO(self._received)
        self.wfile = self._answer

    def finish(self) -> None:
        """See ``socketserver.BaseRequestHandler``."""

    def handle(self) -> None:
        """Answer one request; the connection is closed afterwards."""
        self.handle_one_request()

    def do_GET(self) -> None:  # as http.server calls it
        """Answer a probe."""
        path = self.path.partition("?")[0].rstrip("/")
        health = self._ask()
        if path == "/live":
            self._send(health.is_live, health.document(is_well=health.is_live))
        elif path == "/ready":
            self._send(health.is_ready, health.document(is_well=health.is_ready))
        else:
            words = {"status": "unknown", "summary": "There are /live and /ready."}
            self._send(False, words, HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815  # as http.server calls it

    def _send(
        self,
        is_well: bool,
        document: dict[str, Any],
        otherwise: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE,
    ) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(HTTPStatus.OK if is_well else otherwise)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: probes come every few seconds."""


_all: Final[weakref.WeakSet[HealthServer]] = weakref.WeakSet()


def _leave() -> None:
    """In a process that was forked: leave the port to the parent, whatever becomes of it."""
    for server in list(_all):
        server.close()


os.register_at_fork(after_in_child=_leave)
