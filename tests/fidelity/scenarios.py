"""What an editor does in Wagtail's admin: one view's POST each, and the hooks that it fires.

What a scenario needs beforehand is made without a view, so that no hook tells of it. Each works on
objects of its own, since a worker reads them when all scenarios are over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth import get_user_model
from wagtail.actions.create_alias import CreatePageAliasAction
from wagtail.test.utils.form_data import inline_formset

from tests.fidelity.desk import (
    PREFIX,
    Desk,
    body_form,
    dossier_form,
    exhibit_form,
    new_chapter_form,
    user_form,
)
from tests.fidelity.models import Dossier, Exhibit
from tests.site.blog.models import Advert, ContactSettings

PUBLISH: Final = {"action-publish": "action-publish"}
LATER: Final = {"go_live_at": "2099-01-01 09:00", **PUBLISH}


@dataclass(frozen=True)
class Scenario:
    """Something that an editor does.

    :param run: does it.
    :param hooks: that Wagtail fires then, in its order.
    """

    run: Callable[[Desk], None]
    hooks: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.run.__name__


SCENARIOS: Final[list[Scenario]] = []


def fires(*hooks: str) -> Callable[[Callable[[Desk], None]], Callable[[Desk], None]]:
    """Add a function to the scenarios."""

    def add(run: Callable[[Desk], None]) -> Callable[[Desk], None]:
        SCENARIOS.append(Scenario(run, hooks))
        return run

    return add


# Pages: create, edit, publish, schedule -----------------------------------------------------


def _new(desk: Desk, **changes: Any) -> dict[str, Any]:
    """Return the form of a page that is to be created, with all that it can have."""
    page = Dossier(title=desk.scenario, slug=desk.scenario.replace("_", "-"))
    return dossier_form(
        page,
        authors=[author.pk for author in desk.authors],
        editor=desk.authors[1].pk,
        tags="rope, salt",
        body=body_form(("author", str(desk.authors[0].pk))),
        chapters=inline_formset([new_chapter_form("Start", "x", "y"), new_chapter_form("End")]),
        **changes,
    )


def _create(desk: Desk, **changes: Any) -> None:
    form = _new(desk, **changes)
    desk.post("wagtailadmin_pages:add", "fidelity", "dossier", desk.folder.pk, form=form)


def _change(desk: Desk, page: Dossier, **changes: Any) -> None:
    """Save a page with another title and body, fewer authors, other tags and children."""
    one, two = page.chapters.all()
    children = dossier_form(page)["chapters"]
    children["0"].update(title="One, corrected")
    children["0"]["notes"]["0"]["DELETE"] = "on"
    children["1"]["DELETE"] = "on"
    children["2"] = {**new_chapter_form("Three", "c"), "ORDER": "0", "DELETE": ""}
    children["TOTAL_FORMS"] = "3"
    form = dossier_form(
        page,
        title=f"{page.title}, changed",
        slug=f"{page.slug}-changed",
        reference="a5a5a5a5-0000-4000-8000-000000000000",
        authors=[desk.authors[0].pk],
        editor="",
        tags="marsh, rope",
        chapters=children,
        **changes,
    )
    assert (one.notes.count(), two.title) == (2, "Two")
    desk.post("wagtailadmin_pages:edit", page.pk, form=form)


@fires("after_create_page")
def create_a_draft(desk: Desk) -> None:
    _create(desk)


@fires("after_publish_page", "after_create_page")
def create_and_publish(desk: Desk) -> None:
    _create(desk, **PUBLISH)


@fires("after_publish_page", "after_create_page")
def create_and_schedule(desk: Desk) -> None:
    _create(desk, **LATER)


@fires("after_edit_page")
def edit_a_draft(desk: Desk) -> None:
    _change(desk, desk.dossier(live=False))


@fires("after_edit_page")
def edit_a_live_page_as_a_draft(desk: Desk) -> None:
    _change(desk, desk.dossier())


@fires("after_publish_page", "after_edit_page")
def publish_a_draft(desk: Desk) -> None:
    _change(desk, desk.dossier(live=False), **PUBLISH)


@fires("after_publish_page", "after_edit_page")
def publish_a_live_page_again(desk: Desk) -> None:
    _change(desk, desk.dossier(), **PUBLISH)


@fires("after_publish_page", "after_edit_page")
def schedule_a_draft(desk: Desk) -> None:
    _change(desk, desk.dossier(live=False), **LATER)


@fires("after_publish_page", "after_edit_page")
def schedule_changes_of_a_live_page(desk: Desk) -> None:
    _change(desk, desk.dossier(), **LATER)


# Pages: the rest ----------------------------------------------------------------------------


@fires("after_unpublish_page")
def unpublish_a_page(desk: Desk) -> None:
    desk.post("wagtailadmin_pages:unpublish", desk.dossier().pk, form={})


@fires("after_delete_page")
def delete_a_page(desk: Desk) -> None:
    desk.post("wagtailadmin_pages:delete", desk.dossier().pk, form={})


@fires("after_delete_page")
def delete_a_live_page_with_a_draft(desk: Desk) -> None:
    page = desk.dossier()
    page.title = "A draft that nobody has published"
    page.save_revision(user=desk.editor)
    desk.post("wagtailadmin_pages:delete", page.pk, form={})


def _copy(desk: Desk, **choices: Any) -> None:
    page = desk.dossier()
    slug = f"{page.slug}-copy"
    form = {"new_title": "Copy", "new_slug": slug, "new_parent_page": desk.shelf.pk, **choices}
    desk.post("wagtailadmin_pages:copy", page.pk, form=form)


@fires("after_copy_page")
def copy_a_page(desk: Desk) -> None:
    _copy(desk)


@fires("after_copy_page")
def copy_a_page_and_publish(desk: Desk) -> None:
    _copy(desk, publish_copies="on")


@fires("after_copy_page")
def copy_a_page_as_an_alias(desk: Desk) -> None:
    _copy(desk, alias="on")


@fires("after_move_page")
def move_a_page(desk: Desk) -> None:
    desk.post("wagtailadmin_pages:move_confirm", desk.dossier().pk, desk.shelf.pk, form={})


@fires("after_convert_alias_page")
def convert_an_alias(desk: Desk) -> None:
    alias = CreatePageAliasAction(
        desk.dossier(), parent=desk.shelf, update_slug=desk.scenario, user=desk.editor
    ).execute(skip_permission_checks=True)
    desk.post("wagtailadmin_pages:convert_alias", alias.pk, form={})


# Snippets -----------------------------------------------------------------------------------


def _snippet(model: str, view: str) -> str:
    return f"wagtailsnippets_{model}:{view}"


EXHIBIT: Final = "fidelity_exhibit"
AUTHOR: Final = "blog_author"
ADVERT: Final = "blog_advert"
VOUCHER: Final = "fidelity_voucher"


def _new_exhibit(desk: Desk) -> dict[str, Any]:
    labels = inline_formset([{"id": "", "text": "top"}, {"id": "", "text": "bottom"}])
    return exhibit_form(Exhibit(name=desk.scenario), labels=labels)


def _changed_exhibit(exhibit: Exhibit) -> dict[str, Any]:
    labels = exhibit_form(exhibit)["labels"]
    labels["0"]["DELETE"] = "on"
    labels["2"] = {"id": "", "text": "top", "ORDER": "0", "DELETE": ""}
    labels["TOTAL_FORMS"] = "3"
    return exhibit_form(exhibit, name=f"{exhibit.name}, changed", labels=labels)


@fires("after_create_snippet")
def create_a_draft_snippet(desk: Desk) -> None:
    desk.post(_snippet(EXHIBIT, "add"), form=_new_exhibit(desk))


@fires("after_publish", "after_create_snippet")
def create_and_publish_a_snippet(desk: Desk) -> None:
    desk.post(_snippet(EXHIBIT, "add"), form={**_new_exhibit(desk), **PUBLISH})


@fires("after_edit_snippet")
def edit_a_live_snippet_as_a_draft(desk: Desk) -> None:
    exhibit = desk.exhibit()
    desk.post(_snippet(EXHIBIT, "edit"), exhibit.pk, form=_changed_exhibit(exhibit))


@fires("after_publish", "after_edit_snippet")
def publish_a_snippet(desk: Desk) -> None:
    exhibit = desk.exhibit(live=False)
    form = {**_changed_exhibit(exhibit), **PUBLISH}
    desk.post(_snippet(EXHIBIT, "edit"), exhibit.pk, form=form)


@fires("after_publish", "after_edit_snippet")
def publish_a_live_snippet_again(desk: Desk) -> None:
    exhibit = desk.exhibit()
    form = {**_changed_exhibit(exhibit), **PUBLISH}
    desk.post(_snippet(EXHIBIT, "edit"), exhibit.pk, form=form)


@fires("after_publish", "after_edit_snippet")
def schedule_a_snippet(desk: Desk) -> None:
    exhibit = desk.exhibit(live=False)
    form = {**_changed_exhibit(exhibit), **LATER}
    desk.post(_snippet(EXHIBIT, "edit"), exhibit.pk, form=form)


@fires("after_publish", "after_edit_snippet")
def schedule_changes_of_a_live_snippet(desk: Desk) -> None:
    exhibit = desk.exhibit()
    form = {**_changed_exhibit(exhibit), **LATER}
    desk.post(_snippet(EXHIBIT, "edit"), exhibit.pk, form=form)


@fires("after_unpublish")
def unpublish_a_snippet(desk: Desk) -> None:
    desk.post(_snippet(EXHIBIT, "unpublish"), desk.exhibit().pk, form={})


@fires("after_delete_snippet")
def delete_a_snippet_with_children(desk: Desk) -> None:
    desk.post(_snippet(EXHIBIT, "delete"), desk.exhibit().pk, form={})


@fires("after_edit_snippet")
def edit_a_snippet_without_children_as_a_draft(desk: Desk) -> None:
    author = desk.author()
    form = {"name": author.name, "role": "swimmer", "biography": "Long & “good”"}
    desk.post(_snippet(AUTHOR, "edit"), author.pk, form=form)


@fires("after_publish", "after_create_snippet")
def publish_a_snippet_without_children(desk: Desk) -> None:
    form = {"name": desk.scenario, "role": "swimmer", "biography": "", **PUBLISH}
    desk.post(_snippet(AUTHOR, "add"), form=form)


@fires("after_create_snippet")
def create_a_plain_snippet(desk: Desk) -> None:
    desk.post(_snippet(ADVERT, "add"), form={"text": "Ropes", "url": "https://example.com/"})


@fires("after_edit_snippet")
def edit_a_plain_snippet(desk: Desk) -> None:
    advert = Advert.objects.create(text="Rope")
    desk.post(_snippet(ADVERT, "edit"), advert.pk, form={"text": "Ropes & knots", "url": ""})


@fires("after_delete_snippet")
def delete_a_plain_snippet(desk: Desk) -> None:
    advert = Advert.objects.create(text="Rope", url="https://example.com/")
    desk.post(_snippet(ADVERT, "delete"), advert.pk, form={})


@fires("after_edit_snippet")
def edit_a_plain_snippet_with_many_fields(desk: Desk) -> None:
    desk.post(_snippet(VOUCHER, "edit"), desk.voucher().pk, form={"value": "12.5"})


@fires("after_delete_snippet")
def delete_a_plain_snippet_with_many_fields(desk: Desk) -> None:
    desk.post(_snippet(VOUCHER, "delete"), desk.voucher().pk, form={})


# Settings and users -------------------------------------------------------------------------


@fires("after_edit_setting")
def edit_a_setting(desk: Desk) -> None:
    ContactSettings.for_site(desk.site)
    form = {"email": "post@example.com", "address": "At the quay"}
    desk.post("wagtailsettings:edit", "blog", "contactsettings", desk.site.pk, form=form)


@fires("after_create_user")
def create_a_user(desk: Desk) -> None:
    user = get_user_model()(username=f"{PREFIX}new")
    passwords = {"password1": "a secret", "password2": "a secret"}
    form = user_form(user, groups=[desk.group.pk], **passwords)
    desk.post("wagtailusers_users:add", form=form)


@fires("after_edit_user")
def edit_a_user(desk: Desk) -> None:
    user = desk.user()
    desk.post("wagtailusers_users:edit", user.pk, form=user_form(user, first_name="Bo"))


@fires("after_delete_user")
def delete_a_user(desk: Desk) -> None:
    desk.post("wagtailusers_users:delete", desk.user().pk, form={})


# Bulk actions -------------------------------------------------------------------------------


def _pages(desk: Desk, *, live: bool = True) -> list[Dossier]:
    return [desk.dossier(name, live=live) for name in ("b", "a")]


@fires("after_bulk_action")
def publish_pages(desk: Desk) -> None:
    desk.act_on("publish", _pages(desk, live=False), include_descendants="on")


@fires("after_bulk_action")
def unpublish_pages(desk: Desk) -> None:
    desk.act_on("unpublish", _pages(desk))


@fires("after_bulk_action")
def move_pages(desk: Desk) -> None:
    desk.act_on("move", _pages(desk), chooser=desk.shelf.pk)


@fires("after_bulk_action")
def delete_pages(desk: Desk) -> None:
    desk.act_on("delete", _pages(desk))


@fires("after_bulk_action", "after_delete_snippet")
def delete_snippets_with_children(desk: Desk) -> None:
    desk.act_on("delete", [desk.exhibit("b"), desk.exhibit("a")])


@fires("after_bulk_action", "after_delete_snippet")
def delete_plain_snippets(desk: Desk) -> None:
    desk.act_on("delete", [Advert.objects.create(text=text) for text in ("b", "a")])


@fires("after_bulk_action", "after_delete_snippet")
def delete_plain_snippets_with_many_fields(desk: Desk) -> None:
    desk.act_on("delete", [desk.voucher(), desk.voucher()])


@fires("after_bulk_action")
def assign_users_a_role(desk: Desk) -> None:
    users = [desk.user("b"), desk.user("a")]
    desk.act_on("assign_role", users, role=desk.group.pk)


@fires("after_bulk_action")
def make_users_inactive(desk: Desk) -> None:
    users = [desk.user("b"), desk.user("a")]
    desk.act_on("set_active_state", users, mark_as_active="False")


@fires("after_bulk_action")
def delete_users(desk: Desk) -> None:
    desk.act_on("delete", [desk.user("b"), desk.user("a")])


@fires("after_bulk_action")
def tag_images(desk: Desk) -> None:
    desk.act_on("add_tags", [desk.image("b"), desk.image("a")], tags="rope,salt")


@fires("after_bulk_action")
def delete_images(desk: Desk) -> None:
    desk.act_on("delete", [desk.image("b"), desk.image("a")])
