"""Tests of how e-mails are carried: what arrives is what was written, or nothing is carried."""

from __future__ import annotations

import email.message
import email.policy
import re
from email.charset import Charset
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.message import EmailAlternative, EmailAttachment
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from huey.registry import Message as HueyMessage
from hypothesis import given
from hypothesis import strategies as st

from tests.serialization.strategies import examples
from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.serialization.codecs import encode, resolve
from wagtail_async_hooks.serialization.messages import SignedJSONSerializer

MODERN = django.VERSION >= (6, 0)
"""Whether Django writes e-mails by Python's modern API, and takes its parts."""

FIXED = {"Message-ID": "<1@example.com>", "Date": "Fri, 01 May 2026 09:00:00 -0000"}

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def carried(value: Any) -> Any:
    """Return a value as it arrives in a task."""
    serializer = SignedJSONSerializer()
    packed = serializer.serialize_call(HueyMessage("1", "task", args=(value,), kwargs={}), {})
    message, _ = serializer.deserialize_call(packed)
    return resolve(message.args)[0]


def written(message: EmailMessage) -> bytes:
    """Return how Django writes an e-mail, whatever the names of its boundaries are."""
    text = message.message().as_bytes()
    for number, boundary in enumerate(re.findall(rb'boundary="(=+\d+=+)"', text)):
        text = text.replace(boundary, b"boundary-%d" % number)
    return text


def image() -> MIMEImage:
    """Return a part with a header of its own."""
    part = MIMEImage(PNG, "png")
    part.add_header("Content-ID", "<logo>")
    return part


def multipart() -> MIMEMultipart:
    """Return a part that has parts, one of them with lines that begin with From."""
    part = MIMEMultipart("related")
    part.attach(MIMEText("From here\non.", "plain", "utf-8"))
    part.attach(MIMEText("Über alles", "plain", "iso-8859-1"))
    part.attach(image())
    return part


def modern_part(kind: type[Any] = email.message.MIMEPart) -> Any:
    """Return a part of Python's modern API."""
    part = kind(policy=email.policy.SMTP)
    part.set_content("Grüße\nFrom us", subtype="html", disposition="inline", cid="<greetings>")
    return part


def make(kind: type[Any] = EmailMessage, **fields: Any) -> Any:
    """Return an e-mail."""
    given = {
        "subject": "Ebbe & Flut 🌊",
        "body": "Hoch,\ndann niedrig.",
        "from_email": "Ada Ü <ada@example.com>",
        "to": ["Bo <bo@example.com>"],
        "headers": FIXED,
    }
    return kind(**{**given, **fields})


def with_attributes(message: Any, **attributes: Any) -> Any:
    """Return an e-mail that somebody has set something on."""
    vars(message).update(attributes)
    return message


EMAILS = {
    "a plain one": make(),
    "everybody": make(
        cc=["c@example.com"], bcc=["b@example.com"], reply_to=["r@example.com", "s@example.com"]
    ),
    "headers": make(headers={**FIXED, "Auto-Submitted": "auto-generated", "X-Number": "7"}),
    "HTML as its body": with_attributes(make(body="<p>Hoch</p>"), content_subtype="html"),
    "another charset": with_attributes(make(), encoding="iso-8859-1", subject="Flut"),
    "long lines": make(body="a" * 2000),
    "lazy and safe texts": make(subject=gettext_lazy("Yes"), body=mark_safe("<b>Hoch</b>")),
    "no body": make(body=""),
    "HTML beside its body": make(
        EmailMultiAlternatives, alternatives=[("<p>Hoch 🌊</p>", "text/html")]
    ),
    "several alternatives": make(
        EmailMultiAlternatives,
        alternatives=[("<p>Hoch</p>", "text/html"), (b"{}", "application/json")],
    ),
    "a text attached": make(attachments=[("a.csv", "a;ü\n", "text/csv")]),
    "bytes attached": make(attachments=[("logo.png", PNG, "image/png")]),
    "bytes without a name": make(attachments=[(None, PNG, "application/octet-stream")]),
    "bytes that are no text": make(attachments=[("a.txt", b"\xff\xfe", "text/plain")]),
    "a tuple attached": with_attributes(make(), attachments=[("a.txt", "a", "text/plain")]),
    "an e-mail attached": make(attachments=[("a.eml", make(subject="Inner"), "message/rfc822")]),
    "a message attached": make(
        attachments=[("a.eml", make(subject="Inner").message(), "message/rfc822")]
    ),
    "a legacy message attached": make(
        attachments=[
            ("a.eml", email.message_from_string("Subject: Inner\n\nFrom us"), "message/rfc822")
        ]
    ),
    "alternatives and attachments": make(
        EmailMultiAlternatives,
        alternatives=[("<p>Hoch</p>", "text/html")],
        attachments=[("logo.png", PNG, "image/png"), ("a.txt", "a", "text/plain")],
    ),
    "parts": with_attributes(make(), attachments=[image(), multipart()]),
    "a part of other bytes": with_attributes(make(), attachments=[MIMEBase("x-a", "x-b")]),
}
if MODERN:
    EMAILS |= {
        "a modern part": make(attachments=[modern_part()]),
        "a modern message as a part": make(attachments=[modern_part(email.message.EmailMessage)]),
    }


@pytest.mark.parametrize("message", EMAILS.values(), ids=EMAILS)
def test_email__arrives_as_it_was_written(message: EmailMessage) -> None:
    before = written(message)

    arrived = carried(message)

    assert type(arrived) is type(message)
    assert arrived.recipients() == message.recipients()
    assert arrived.bcc == message.bcc
    assert written(arrived) == before
    assert written(message) == before


@pytest.mark.parametrize("message", EMAILS.values(), ids=EMAILS)
def test_email__has_parts_of_the_same_kinds(message: EmailMessage) -> None:
    kinds = (MIMEBase, email.message.EmailMessage, email.message.MIMEPart, Message)

    def kind_of(part: Any) -> Any:
        return next((k for k in kinds if isinstance(part, k)), type(part))

    arrived = carried(message)

    assert list(map(kind_of, arrived.attachments)) == list(map(kind_of, message.attachments))


def test_email__keeps_what_others_set_on_it() -> None:
    message = with_attributes(make(), tags=["tides"], metadata={"page": 7}, track_clicks=False)

    arrived = carried(message)

    assert (arrived.tags, arrived.metadata, arrived.track_clicks) == (["tides"], {"page": 7}, False)


def test_email__leaves_its_connection_behind() -> None:
    message = make()
    message._connection = object()
    vars(message)["connection"] = object()

    arrived = carried(message)

    assert getattr(arrived, "_connection", None) is None
    assert vars(arrived).get("connection") is None


class OwnEmail(EmailMessage):
    """A class of the site's."""


UNCARRIED = {
    "a class of the site's": make(OwnEmail),
    "a charset object": with_attributes(make(), encoding=Charset("utf-8")),
    "an object on it": with_attributes(make(), template=object()),
    "an open file": with_attributes(make(), attachments=[("a", open(__file__), "text/plain")]),  # noqa: SIM115  (closed below)
}
UNCARRIED["an open file"].attachments[0][1].close()


@pytest.mark.parametrize("message", UNCARRIED.values(), ids=UNCARRIED)
def test_email__is_refused(message: EmailMessage) -> None:
    with pytest.raises(CannotSerialize):
        encode(message)


def test_part__is_refused_if_it_would_arrive_as_another_one() -> None:
    part = image()
    part["X-Indented"] = "  by spaces that a parser drops"

    with pytest.raises(CannotSerialize, match="a MIMEImage would arrive as another one"):
        encode(part)


def test_part__is_refused_if_it_cannot_be_written() -> None:
    part = Message()
    part.set_payload([image()])  # parts of something that is not made of parts

    with pytest.raises(CannotSerialize, match="email_part"):
        encode(part)


# Any text and any bytes ---------------------------------------------------------------------

texts = st.text(max_size=20)
names = st.one_of(st.none(), st.text("abc.", min_size=1, max_size=9))
attachments = st.one_of(
    st.builds(EmailAttachment, names, texts, st.just("text/plain")),
    st.builds(EmailAttachment, names, st.binary(), st.just("application/octet-stream")),
)
alternatives = st.builds(EmailAlternative, texts, st.just("text/html"))
fields = {
    "subject": texts,
    "body": texts,
    "to": st.lists(st.emails(), max_size=2),
    "headers": st.dictionaries(st.sampled_from(["X-A", "X-B"]), texts),
    "attachments": st.lists(attachments, max_size=2),
}


def same_fields(one: Any, other: Any) -> bool:
    """Return whether two e-mails have the same attributes."""
    left_out = {"connection", "_connection"}
    ones, others = ({k: v for k, v in vars(m).items() if k not in left_out} for m in (one, other))
    return type(one) is type(other) and ones == others


@given(st.builds(EmailMessage, **fields))
@examples(50)
def test_email__of_any_text(message: EmailMessage) -> None:
    assert same_fields(carried(message), message)


@given(st.builds(EmailMultiAlternatives, **fields, alternatives=st.lists(alternatives, max_size=2)))
@examples(50)
def test_email_alternatives__of_any_text(message: EmailMultiAlternatives) -> None:
    assert same_fields(carried(message), message)


@given(alternatives)
@examples(30)
def test_email_alternative__of_any_text(alternative: EmailAlternative) -> None:
    arrived = carried(alternative)

    assert (type(arrived), arrived) == (EmailAlternative, alternative)


@given(attachments)
@examples(30)
def test_email_attachment__of_any_content(attachment: EmailAttachment) -> None:
    arrived = carried(attachment)

    assert (type(arrived), arrived) == (EmailAttachment, attachment)


@given(st.binary(max_size=200))
@examples(30)
def test_email_part__of_any_bytes(content: bytes) -> None:
    part = MIMEImage(content, "png")

    assert carried(part).get_payload(decode=True) == content
