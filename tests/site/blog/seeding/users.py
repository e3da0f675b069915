"""Makes the demo's users, and the groups whose rights they have."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from wagtail.models import Collection, GroupCollectionPermission, GroupPagePermission, Page

PASSWORD = "demo"
USERS = {"admin": None, "editor": "Editors", "moderator": "Moderators"}
"""User names, each with its group; the one without a group is a superuser."""

PAGES = ("add_page", "change_page", "publish_page")
EDITING = (
    "wagtailadmin.access_admin",
    "blog.add_author",
    "blog.change_author",
    "blog.publish_author",
)
SITE = ("blog.change_advert", "blog.change_contactsettings")
FILES = ("add_image", "change_image", "choose_image", "add_document", "choose_document")
GROUPS = {
    "Editors": (PAGES, EDITING),
    "Moderators": (PAGES, EDITING + SITE),
}
"""Groups, each with what it may do to pages, and its rights on other models."""


def make() -> None:
    """Make the groups, then the users."""
    for name, (page_rights, model_rights) in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*map(permission, model_rights))
        allow_pages(group, page_rights)
        allow_files(group)
    for username, group_name in USERS.items():
        make_user(username, group_name)


def permission(name: str) -> Permission:
    """Return a permission by its name, such as `blog.add_author`."""
    app_label, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)


def allow_pages(group: Group, rights: tuple[str, ...]) -> None:
    """Let a group do something to every page."""
    for codename in rights:
        GroupPagePermission.objects.get_or_create(
            group=group,
            page=Page.get_first_root_node(),
            permission=permission(f"wagtailcore.{codename}"),
        )


def allow_files(group: Group) -> None:
    """Let a group use all images and documents."""
    for codename in FILES:
        GroupCollectionPermission.objects.get_or_create(
            group=group,
            collection=Collection.get_first_root_node(),
            permission=Permission.objects.get(
                content_type__app_label__in=["wagtailimages", "wagtaildocs"], codename=codename
            ),
        )


def make_user(username: str, group_name: str | None) -> None:
    """Make a user, unless there is one of that name."""
    users = get_user_model().objects
    if users.filter(username=username).exists():
        return
    email = f"{username}@saltmarsh.example"
    if group_name is None:
        users.create_superuser(username, email, PASSWORD)
    else:
        user = users.create_user(username, email, PASSWORD)
        user.groups.add(Group.objects.get(name=group_name))
