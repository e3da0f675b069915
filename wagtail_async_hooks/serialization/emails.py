"""Django's e-mails: all that is set on one, its alternatives and its attachments.

Only Django's own two classes are serialized, since a name in a message is looked up and never
imported. A part that was made by Python's :mod:`email` package is serialized as it is written, if
it reads back the same.
"""

from __future__ import annotations

import email.message
import email.policy
from email.generator import BytesGenerator
from email.message import Message
from email.mime.base import MIMEBase
from email.policy import Policy
from io import BytesIO
from typing import Any, Final

from django.core.mail import EmailMessage

from wagtail_async_hooks.exceptions import CannotSerialize

_CONNECTIONS: Final = ("connection", "_connection")
"""Where an e-mail keeps by what it is to be sent; the second one since Django 6.1."""


def encode_email(message: EmailMessage) -> dict[str, Any]:
    """Return all attributes of an e-mail, those of others' making too."""
    return {name: value for name, value in vars(message).items() if name not in _CONNECTIONS}


def decode_email(kind: type[EmailMessage], fields: dict[str, Any]) -> EmailMessage:
    """Return an e-mail of a class with such attributes."""
    message = kind()
    vars(message).update(fields)
    return message


class _Part(MIMEBase):
    """A part as the parser makes it, which learns only afterwards of what kind it is."""

    def __init__(self, policy: Policy = email.policy.compat32) -> None:
        Message.__init__(self, policy=policy)


_FAMILIES: Final[dict[str, tuple[type[Message], type[Message], Policy]]] = {
    "mime": (MIMEBase, _Part, email.policy.compat32),
    "email": (email.message.EmailMessage, email.message.EmailMessage, email.policy.default),
    "part": (email.message.MIMEPart, email.message.MIMEPart, email.policy.default),
    "message": (Message, Message, email.policy.compat32),
}
"""For a part of each class: what it is made again as, and how that is written."""


def encode_part(part: Message) -> list[Any]:
    """Return a part as it is written, and what to make of that again.

    :raises CannotSerialize: if it would read back as another one.
    """
    family = next(name for name, (kind, _, _) in _FAMILIES.items() if isinstance(part, kind))
    written = _written(part)
    if _written(decode_part([family, written])) != written:
        raise CannotSerialize(
            f"a {type(part).__qualname__} would arrive as another one; attach its content instead."
        )
    return [family, written]


def decode_part(payload: list[Any]) -> Message:
    """Return a part from what :func:`encode_part` has made of it."""
    family, written = payload
    _, kind, policy = _FAMILIES[family]
    return email.message_from_bytes(written, _class=kind, policy=policy)


def _written(part: Message) -> bytes:
    written = BytesIO()
    policy = part.policy.clone(linesep="\n")
    BytesGenerator(written, mangle_from_=False, policy=policy).flatten(part)
    return written.getvalue()
