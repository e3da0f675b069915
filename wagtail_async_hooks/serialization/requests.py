"""A request as a reference: who, where from and where to, but nothing secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, QueryDict
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject

from wagtail_async_hooks.serialization.absent_parts import ABSENT, Absent, Empty, not_carried
from wagtail_async_hooks.serialization.editor_messages import EditorMessages
from wagtail_async_hooks.utils.redaction import is_secret

OF_FORMS: Final = "read what you need from the object that the hook is about"


class CarriedRequest(HttpRequest):
    """The request that triggered a task, without what may be secret.

    ``user`` is loaded when it is first used. Reading the body, cookies, session or other headers
    raises :exc:`~wagtail_async_hooks.exceptions.NotCarried`. In templates they are empty: Django's
    and Jinja's look up an item where Python asks for an attribute.
    """

    POST: Any = Absent(OF_FORMS)
    FILES: Any = Absent("read the file from the object that it was saved to")
    COOKIES: Any = Absent("cookies may hold secrets; pass what you need to a task of your own")
    session: Any = Absent("a session may hold secrets; pass what you need to a task of your own")
    body: Any = Absent(OF_FORMS)

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__()
        for name in ("POST", "FILES", "COOKIES"):
            del self.__dict__[name]  # set by HttpRequest; now the class says why they are absent
        self.method = payload["method"]
        self.path = payload["path"]
        self.path_info = payload["path_info"]
        self.GET = QueryDict(payload["query"], encoding="utf-8")
        self.META = dict(payload["meta"])
        self.LANGUAGE_CODE: str = payload["language"]
        self.time_zone: str = payload["time_zone"]
        self.user: Any = SimpleLazyObject(lambda: _user(payload["user"]))
        self._messages = EditorMessages(self)  # where Django's messages look for them
        self._payload = payload

    def __getitem__(self, name: str) -> Empty:
        """Return what templates get for a part that is not serialized.

        Django's templates ask for an item before they ask for an attribute, Jinja's afterwards. No
        request of Django's has items, so no code in Python asks for any.

        :raises KeyError: for anything else, so that they ask for the attribute.
        """
        if name in ABSENT and name not in self.__dict__:
            return Empty()
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return False  # else Python would ask for items 0, 1, 2 and so on

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        raise not_carried("read()", OF_FORMS)

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        raise not_carried("readline()", OF_FORMS)

    def readlines(self) -> list[bytes]:
        raise not_carried("readlines()", OF_FORMS)

    def __iter__(self) -> Iterator[bytes]:
        raise not_carried("__iter__()", OF_FORMS)

    async def auser(self) -> Any:
        """Return the user, as Django's middleware lets ``async def`` functions ask for it."""
        return await sync_to_async(_user)(self._payload["user"])

    @property
    def scheme(self) -> str:
        return str(self._payload["scheme"])


_META: Final[tuple[str, ...]] = ("REMOTE_ADDR", "SERVER_NAME", "HTTP_TRACEPARENT")


def encode_request(request: HttpRequest) -> dict[str, Any]:
    """Return the payload of a request."""
    if isinstance(request, CarriedRequest):
        return request._payload
    return {
        "user": getattr(getattr(request, "user", None), "pk", None),
        "method": request.method,
        "path": request.path,
        "path_info": request.path_info,
        # As it was read: servers differ in what they make of a query that is not ASCII.
        "query": _query(request.GET) if request.GET else "",
        "scheme": request.scheme,
        "meta": _meta(request),
        "language": translation.get_language(),
        "time_zone": timezone.get_current_timezone_name(),
    }


def _query(parameters: QueryDict) -> str:
    return urlencode([(k, v) for k, vs in parameters.lists() if not is_secret(k) for v in vs])


def _meta(request: HttpRequest) -> dict[str, str]:
    """Return the payload of a request's metadata, with the host and port that count."""
    meta = {key: str(request.META[key]) for key in _META if key in request.META}
    if "QUERY_STRING" in request.META:
        meta["QUERY_STRING"] = _harmless(str(request.META["QUERY_STRING"]))
    with suppress(KeyError):  # a request made by hand has no port
        meta["SERVER_PORT"] = request.get_port()
    with suppress(KeyError):  # nor a host
        meta["HTTP_HOST"] = _host(request)
    return meta


def _harmless(query: str) -> str:
    """Return a query string without the parameters that are named like secrets."""
    parameters = query.split("&") if query else []
    return "&".join(p for p in parameters if not is_secret(unquote_plus(p.partition("=")[0])))


def _host(request: HttpRequest) -> str:
    """Return the host, also one that Django refuses, so that the worker refuses it again.

    :raises KeyError: if there is none, or none but the server's name, and that is refused.
    """
    is_forwarded = settings.USE_X_FORWARDED_HOST and "HTTP_X_FORWARDED_HOST" in request.META
    if is_forwarded:
        return str(request.META["HTTP_X_FORWARDED_HOST"])
    if "HTTP_HOST" in request.META:
        return str(request.META["HTTP_HOST"])
    try:
        return request.get_host()
    except DisallowedHost:
        raise KeyError("HTTP_HOST") from None


def _user(key: Any) -> Any:
    user = None if key is None else get_user_model()._default_manager.filter(pk=key).first()
    return user or AnonymousUser()
