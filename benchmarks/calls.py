"""A call to another server, as a webhook makes it, and that server: it takes its time to answer.

It imports nothing but the standard library, as it is imported by all contenders' workers.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import work

HOST = "127.0.0.1"
_ASKED = b"GET / HTTP/1.0\r\n\r\n"
_ANSWER = b"HTTP/1.0 204 No Content\r\n\r\n"


def call(port: int) -> None:
    """Call the server, then leave a trace; with gevent, it waits as a greenlet."""
    begun = time.monotonic()
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(_ASKED)
        while connection.recv(1024):
            pass
    work.leave(begun)


async def acall(port: int) -> None:
    """Call the server, then leave a trace; it waits as a coroutine."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(_ASKED)
    await reader.read()
    writer.close()
    await writer.wait_closed()
    work.leave(begun)


@contextmanager
def answering(seconds: float) -> Iterator[int]:
    """Have a server answer, which takes some time; yield its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_serve(seconds), loop).result()
        yield server.sockets[0].getsockname()[1]
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(seconds: float) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await asyncio.sleep(seconds)
        writer.write(_ANSWER)
        writer.close()

    return await asyncio.start_server(answer, HOST, 0, backlog=1024)
