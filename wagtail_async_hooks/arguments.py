"""Arguments of hooks and tasks, as references: pages, models, users, requests, lists of them.

Importing this module registers the codecs. What is read from the database is read when the task
runs, so that the function sees the object as it is then.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Final, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost
from django.db import DEFAULT_DB_ALIAS, models, router
from django.http import HttpRequest, QueryDict
from django.utils import timezone, translation
from django.utils.functional import Promise, SimpleLazyObject
from modelcluster.models import get_serializable_data_for_fields, model_from_serializable_data
from wagtail.models import Page

from wagtail_async_hooks.exceptions import CannotSerialize, NotCarried, RemoteError, TargetGone
from wagtail_async_hooks.serializer import Codec, encode, register

__all__ = ["BulkActionInfo", "CarriedRequest", "ModelSequence", "Snapshot", "register"]

CHUNK: Final = 500
"""How many objects of a list are read from the database at once."""


# Models -------------------------------------------------------------------------------------


def _encode_model(instance: models.Model) -> dict[str, Any]:
    if not isinstance(instance, models.Model):  # of a queryset's values()
        raise CannotSerialize(
            f"a queryset that yields {type(instance).__qualname__} rather than objects cannot be "
            "carried to the worker; pass list(…) of it."
        )
    if instance.pk is None or instance._state.adding:
        raise CannotSerialize(
            f"an unsaved {type(instance).__qualname__} cannot be carried to the worker; save it "
            "first, or pass plain values."
        )
    model = _model_of(instance)
    payload = {"model": model._meta.label_lower, "pk": instance.pk}
    # Where it is written, not where it was read: a replica may lag behind the worker.
    alias = router.db_for_write(model, instance=instance)
    return payload if alias == DEFAULT_DB_ALIAS else {**payload, "db": alias}


def _model_of(instance: models.Model) -> type[models.Model]:
    """Return the model; of a page that was loaded as a plain one, its own."""
    if isinstance(instance, Page):
        return cast(type[models.Model], instance.specific_class or instance.__class__)
    return instance.__class__  # not type(): request.user is a lazy object


def _decode_model(payload: dict[str, Any]) -> models.Model:
    model = apps.get_model(payload["model"])
    rows: models.QuerySet[models.Model] = model._base_manager.using(
        payload.get("db", DEFAULT_DB_ALIAS)
    )
    found = rows.filter(pk=payload["pk"]).first()
    if found is None:
        noun = "page" if issubclass(model, Page) else model._meta.verbose_name
        raise TargetGone(f"its {noun} was deleted")
    return found


class ModelSequence(Sequence[models.Model]):
    """Objects that were passed as a list, read from the database in chunks, in their order.

    Objects that are gone meanwhile are left out.

    :param runs: model label, database alias and primary keys, for each run of the same model.
    """

    def __init__(self, runs: list[tuple[str, str, list[Any]]]) -> None:
        self.runs = runs
        self._loaded: list[models.Model] | None = None

    def __iter__(self) -> Iterator[models.Model]:
        # Decided at the first step: list() asks for an iterator first, for the length then.
        yield from self._read() if self._loaded is None else self._loaded

    def _read(self) -> Iterator[models.Model]:
        for label, alias, keys in self.runs:
            manager = apps.get_model(label)._base_manager.using(alias)
            for chunk in _chunks(keys, CHUNK):
                found = manager.in_bulk(chunk)
                yield from (found[key] for key in chunk if key in found)

    def __len__(self) -> int:
        return len(self._load())

    def __getitem__(self, index: Any) -> Any:
        return self._load()[index]

    def __repr__(self) -> str:
        told = ", ".join(f"{len(keys)} × {label}" for label, _, keys in self.runs)
        return f"<{type(self).__name__}: {told}>"

    def _load(self) -> list[models.Model]:
        if self._loaded is None:
            self._loaded = list(self._read())
        return self._loaded


def _chunks(keys: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(keys)
    while chunk := list(islice(rest, size)):
        yield chunk


def _encode_models(instances: Iterable[models.Model]) -> list[Any]:
    references: list[dict[str, Any]] = []
    try:
        for instance in instances:
            references.append(_encode_model(instance))
    except CannotSerialize as error:
        raise error.within(f"[{len(references)}]") from None
    runs = groupby(references, key=lambda r: (r["model"], r.get("db", DEFAULT_DB_ALIAS)))
    return [[label, alias, [r["pk"] for r in run]] for (label, alias), run in runs]


def _encode_sequence(sequence: ModelSequence) -> list[Any]:
    return [list(run) for run in sequence.runs]


def _decode_models(payload: list[Any]) -> ModelSequence:
    return ModelSequence([(label, alias, keys) for label, alias, keys in payload])


@dataclass(frozen=True)
class Snapshot:
    """An object that is carried whole, since it is deleted: it arrives unsaved, with its key."""

    instance: models.Model


def _encode_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    instance = snapshot.instance
    serializable = getattr(instance, "serializable_data", None)
    data = serializable() if serializable else get_serializable_data_for_fields(instance)
    if isinstance(instance, AbstractBaseUser):
        data["password"] = ""  # a hash is a secret; messages are kept for days
    return {"model": _model_of(instance)._meta.label_lower, "data": data}


def _decode_snapshot(payload: dict[str, Any]) -> models.Model:
    model: Any = apps.get_model(payload["model"])
    if hasattr(model, "from_serializable_data"):
        instance = model.from_serializable_data(payload["data"], check_fks=False)
    else:
        instance = model_from_serializable_data(model, payload["data"], check_fks=False)
    instance._state.adding = True  # it is not in the database any more
    return cast(models.Model, instance)


# Requests -----------------------------------------------------------------------------------


class _Absent:
    """Say why a part of a request is not there, unless the hook itself has put something there."""

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise NotCarried(
            f"request.{self.name} is not carried to the worker: {self.advice}, or keep this hook "
            "synchronous with WAGTAIL_TASKS_SYNC_HOOKS."
        )


class CarriedRequest(HttpRequest):
    """The request that triggered a task: who, where from and where to, but nothing secret.

    ``user`` is loaded when it is first used. The body, cookies, session and other headers are not
    carried; asking for them raises :exc:`~wagtail_async_hooks.exceptions.NotCarried`.
    """

    POST: Any = _Absent("read what you need from the object that the hook is about")
    FILES: Any = _Absent("read the file from the object that it was saved to")
    COOKIES: Any = _Absent("cookies may hold secrets; pass what you need to a task of your own")
    session: Any = _Absent("a session may hold secrets; pass what you need to a task of your own")
    body: Any = _Absent("read what you need from the object that the hook is about")

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__()
        for name in ("POST", "FILES", "COOKIES"):
            del self.__dict__[name]  # set by HttpRequest; now the class says why they are absent
        self.method = payload["method"]
        self.path = payload["path"]
        self.path_info = payload["path_info"]
        self.GET = QueryDict(payload["query"])
        self.META = dict(payload["meta"])
        self.LANGUAGE_CODE: str = payload["language"]
        self.time_zone: str = payload["time_zone"]
        self.user: Any = SimpleLazyObject(lambda: _user(payload["user"]))
        self._payload = payload

    @property
    def scheme(self) -> str:
        return str(self._payload["scheme"])


_CARRIED_META: Final = ("REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "HTTP_TRACEPARENT")


def _encode_request(request: HttpRequest) -> dict[str, Any]:
    if isinstance(request, CarriedRequest):
        return request._payload
    query = request.META.get("QUERY_STRING") or request.GET.urlencode()
    meta = {key: str(request.META[key]) for key in _CARRIED_META if request.META.get(key)}
    return {
        "user": getattr(getattr(request, "user", None), "pk", None),
        "method": request.method,
        "path": request.path,
        "path_info": request.path_info,
        "query": query,
        "scheme": request.scheme,
        "meta": {**meta, "HTTP_HOST": _host(request), "QUERY_STRING": query},
        "language": translation.get_language(),
        "time_zone": timezone.get_current_timezone_name(),
    }


def _host(request: HttpRequest) -> str:
    try:
        return request.get_host()
    except (DisallowedHost, KeyError):  # a request made by hand, without a host
        return str(request.META.get("HTTP_HOST", ""))


def _user(key: Any) -> Any:
    user = None if key is None else get_user_model()._default_manager.filter(pk=key).first()
    return user or AnonymousUser()


# Bulk actions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class BulkActionInfo:
    """What a worker sees of the view that ran a bulk action.

    :param action_type: e.g. ``"publish"``.
    :param model: label of the model of its objects.
    :param view: dotted path of the view's class.
    :param cleaned_data: of its form, what of it could be carried.
    """

    action_type: str
    model: str
    view: str
    cleaned_data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, action: Any) -> BulkActionInfo:
        """Describe a bulk action's view."""
        form = getattr(action, "cleaned_form", None)
        return cls(
            action.action_type,
            action.model._meta.label_lower,
            f"{type(action).__module__}.{type(action).__qualname__}",
            {k: v for k, v in getattr(form, "cleaned_data", {}).items() if _is_carried(v)},
        )


def _is_carried(value: Any) -> bool:
    try:
        encode(value)
    except CannotSerialize:
        return False
    return True


# Others -------------------------------------------------------------------------------------


def _encode_exception(error: BaseException) -> list[str]:
    if isinstance(error, RemoteError):
        return [error.type_path, error.message, *getattr(error, "__notes__", [])]
    path = f"{type(error).__module__}.{type(error).__qualname__}"
    return [path, str(error), "".join(traceback.format_exception(error))]


def _decode_exception(payload: list[str]) -> BaseException:
    path, message, *notes = payload
    error = _same_exception(path, message) or RemoteError(path, message)
    for note in notes:
        error.add_note(note)
    return error


def _same_exception(path: str, message: str) -> BaseException | None:
    """Return an exception of the same class, if that is loaded here and made of one text."""
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        return None
    try:
        error = found(message)
    except Exception:
        return None
    return error if str(error) == message else None


_TRANSLATORS: Final[dict[str, Callable[..., Any]]] = {
    "gettext": translation.gettext_lazy,
    "pgettext": translation.pgettext_lazy,
}


def _encode_promise(promise: Any) -> list[Any]:
    """Carry what is to be translated, not the translation; other lazy texts as they read now."""
    _, (func, args, kwargs, *_rest) = promise.__reduce__()
    name = getattr(func, "__name__", "")
    if name in _TRANSLATORS and func is getattr(translation, name) and not kwargs:
        return [name, *args]
    return ["", str(promise)]


def _decode_promise(payload: list[Any]) -> Any:
    name, *args = payload
    return _TRANSLATORS[name](*args) if name else args[0]


for _codec in (
    Codec("model", models.Model, _encode_model, _decode_model, True, True, many="models"),
    Codec("models", models.QuerySet, _encode_models, _decode_models, True, True),
    Codec("sequence", ModelSequence, _encode_sequence, _decode_models, True),
    Codec("snapshot", Snapshot, _encode_snapshot, _decode_snapshot, True),
    Codec("request", HttpRequest, _encode_request, CarriedRequest, True, True),
    Codec(
        "bulk_action",
        BulkActionInfo,
        lambda info: [info.action_type, info.model, info.view, info.cleaned_data],
        lambda payload: BulkActionInfo(*payload),
        lazy=True,
    ),
    Codec("exception", BaseException, _encode_exception, _decode_exception, subclasses=True),
    Codec("promise", Promise, _encode_promise, _decode_promise, subclasses=True),
):
    register(_codec)
