"""A real mail server for tests: it keeps what it gets, and refuses what it is told to."""

from __future__ import annotations

import asyncio
import email.message
import email.policy
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from tests.faults.servers import free_port
from tests.processes import wait_until


@dataclass
class Received:
    """An e-mail as it came in.

    :param accepted: whether the server has taken it.
    """

    sender: str
    recipients: list[str]
    content: bytes
    accepted: bool

    @property
    def parsed(self) -> email.message.EmailMessage:
        """The e-mail, read by Python's parser."""
        return BytesParser(email.message.EmailMessage, policy=email.policy.default).parsebytes(
            self.content
        )


class _Session(SMTP):
    """One connection, counted while it is open."""

    event_handler: MailServer

    def connection_made(self, transport: Any) -> None:
        """Count it."""
        self.event_handler.open_connections += 1
        super().connection_made(transport)

    def eof_received(self) -> bool:
        """Close it when the client has; aiosmtpd leaves it open if it was not yet listening."""
        super().eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Count it no more."""
        super().connection_lost(error)
        self.event_handler.open_connections -= 1


class _Controller(Controller):
    """Runs the server in a thread."""

    def factory(self) -> SMTP:
        """Return what serves one connection."""
        return _Session(self.handler, **self.SMTP_kwargs)


@dataclass
class MailServer:
    """A mail server on loopback.

    :param port: where it listens, once it is started.
    :param answers: what it says instead of yes: to ``MAIL``, ``DATA`` or ``QUIT``, or about the
        recipient with an address.
    :param silent: whether it answers nothing after the greeting, until :meth:`speak`.
    """

    port: int = field(default_factory=free_port)
    answers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    silent: bool = False
    connections: int = 0
    open_connections: int = 0
    _controller: Controller | None = None

    def start(self) -> None:
        """Listen."""
        self._controller = _Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        self.connections = 0  # the controller has tried it out

    def stop(self) -> None:
        """Do not listen any more."""
        if self._controller is not None:
            # Else sockets are left open in which the clients have just said good-bye.
            wait_until(lambda: not self.open_connections, "all clients have gone")
            self._controller.stop()
            self._controller = None

    def speak(self) -> None:
        """Answer, also those who wait."""
        self.silent = False

    def to(self, address: str) -> list[Received]:
        """Return what was accepted for an address."""
        return [mail for mail in self.received if mail.accepted and address in mail.recipients]

    # What the controller calls --------------------------------------------------------------

    async def handle_EHLO(  # noqa: N802  (named for the command)
        self, server: Any, session: Any, envelope: Any, name: str, responses: list[str]
    ) -> list[str]:
        """Count who introduces themselves."""
        while self.silent:
            await asyncio.sleep(0.01)
        self.connections += 1
        session.host_name = name
        return responses

    async def handle_MAIL(  # noqa: N802  (named for the command)
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a sender, or do not."""
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802  (named for the command)
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or do not."""
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  (named for the command)
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        """Keep an e-mail, and say that it was taken, or that it was not."""
        answer = self.answers.get("DATA", "250 OK")
        self.received.append(
            Received(
                envelope.mail_from, envelope.rcpt_tos, envelope.content, answer.startswith("2")
            )
        )
        return answer

    async def handle_QUIT(  # noqa: N802  (named for the command)
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        """Say good-bye."""
        return self.answers.get("QUIT", "221 Bye")
