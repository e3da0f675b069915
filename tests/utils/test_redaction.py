"""Which names are taken for those of secrets."""

from __future__ import annotations

import pytest

from wagtail_async_hooks.utils.redaction import is_secret, without_password


@pytest.mark.parametrize(
    "name",
    [
        *("password", "new_password1", "passwd", "Passphrase", "db-pwd", "client_secret"),
        *("token", "resetToken", "access_token", "csrfmiddlewaretoken", "credentials"),
        *("api_key", "apiKey", "X-Api-Key", "AWS_ACCESS_KEY_ID", "private key", "session_key"),
        *("sessionid", "Authorization", "totp_secret", "signing_key", "encryption-key"),
    ],
)
def test_is_secret__such_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "key", "keyword", "public_key", "author", "authors", "session", "secretary_name"),
        *("title", "body", "username", "email", "pass", "compass", "signature", "tags", "next"),
    ],
)
def test_is_secret__other_names(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("redis://ada:s3cret@localhost:6379/0", "redis://…@localhost:6379/0"),
        ("redis://:s3c@ret@localhost", "redis://…@localhost"),
        ("['redis://:s3cret@one', 'redis://two/@x']", "['redis://…@one', 'redis://two/@x']"),
        ("huey.storage.SqliteStorage", "huey.storage.SqliteStorage"),
        ("a@b.example", "a@b.example"),
    ],
)
def test_without_password__keeps_the_rest(address: str, left: str) -> None:
    assert without_password(address) == left
