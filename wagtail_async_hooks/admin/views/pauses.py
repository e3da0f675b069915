"""Pause and resume a queue, a hook, a function or everything; a pause asks for a reason."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import FormView, View
from wagtail.admin import messages
from wagtail.admin.utils import get_valid_next_url_from_request

from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.queue import pausing

MAX_REASON = 500
"""Characters of a reason."""


def pause_url(kind: str, name: str, back: str) -> str:
    """Return the address of the form that pauses something.

    :param back: where to lead afterwards.
    """
    query = urlencode({"kind": kind, "name": name, "next": back})
    return f"{reverse('wagtail_async_hooks:pause')}?{query}"


class _TargetMixin(AccessMixin):
    """What both views share: what is to be paused or resumed, and where to lead afterwards."""

    needs_change = True

    @cached_property
    def kind(self) -> str:
        """What kind of thing it is."""
        given = self._given("kind")
        if given not in Pause.Kind.values:
            raise Http404
        return given

    @cached_property
    def name(self) -> str:
        """What it is called; blank for everything."""
        given = "" if self.kind == Pause.Kind.EVERYTHING else self._given("name")
        if self.kind != Pause.Kind.EVERYTHING and not given:
            raise Http404
        return given

    @property
    def target(self) -> dict[str, str]:
        """The same, as :mod:`~wagtail_async_hooks.queue.pausing` takes it."""
        return {} if self.kind == Pause.Kind.EVERYTHING else {self.kind: self.name}

    @property
    def described(self) -> str:
        """The same, in words."""
        return log_actions.described(self.kind, self.name)

    def next_url(self) -> str:
        """Return where to lead afterwards."""
        given = str(get_valid_next_url_from_request(self.request))
        return given or reverse("wagtail_async_hooks:queues")

    def find(self) -> Pause | None:
        """Return the pause, if it is paused."""
        wanted = (self.kind, self.name)
        return next((each for each in ledger.pauses() if (each.kind, each.name) == wanted), None)

    def _given(self, name: str) -> str:
        source = self.request.POST if self.request.method == "POST" else self.request.GET
        return str(source.get(name, ""))


class PauseForm(forms.Form):
    """Why something is paused."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=MAX_REASON,
        help_text=gettext_lazy("For those who wonder why nothing happens, and when it goes on."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class PauseView(_TargetMixin, PageMixin, FormView):  # type: ignore[type-arg]  # not generic at run time
    """The form that asks for the reason, and pauses."""

    section = "queues"
    form_class = PauseForm
    template_name = "wagtail_async_hooks/admin/pause.html"
    header_icon = "clock"

    def get_page_title(self) -> str:
        return _("Pause")

    def get_page_subtitle(self) -> str:
        return self.described

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "kind": self.kind,
            "name": self.name,
            "described": self.described,
            "back": self.next_url(),
        }

    def form_valid(self, form: Any) -> HttpResponse:
        """Pause it, and lead back."""
        told = {"what": self.described}
        try:
            reason = form.cleaned_data["reason"]
            is_new = pausing.pause(**self.target, user=self.request.user, reason=reason)
        except ValueError:  # such a name cannot be
            raise Http404 from None
        if is_new and (pause := self.find()) is not None:
            log_actions.record_pause("pause", pause, self.request.user)
            messages.success(
                self.request, _("Paused: %(what)s. What runs is finished, the rest waits.") % told
            )
        else:
            messages.warning(self.request, _("%(what)s: it was paused already.") % told)
        return redirect(self.next_url())


class ResumeView(_TargetMixin, View):
    """Resumes what is paused."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Resume it, and lead back."""
        pause, told = self.find(), {"what": self.described}
        if pause is not None and pausing.resume(**self.target):
            log_actions.record_pause("resume", pause, request.user)
            messages.success(request, _("Resumed: %(what)s.") % told)
        else:
            messages.warning(request, _("%(what)s: it was not paused.") % told)
        return redirect(self.next_url())
