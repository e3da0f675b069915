"""Tests of renditions ahead: made once, of the file that is there, and at nobody's expense."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.files.images import ImageFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save
from django.test import Client
from django.urls import reverse
from PIL import Image as PillowImage
from wagtail.images import get_image_model
from wagtail.images.models import Filter
from wagtail.models import Page, ReferenceIndex

from tests.pictures.models import Picture
from tests.processes import Process, wait_until
from tests.site.blog.models import BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import background, signal_handlers
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

SPECS = ["fill-80x60", "width-{40,50} format-webp"]
EXPANDED = {"fill-80x60", "width-40|format-webp", "width-50|format-webp"}
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 50" width="100" height="50">'
    b'<rect width="100" height="50"/></svg>'
)


@pytest.fixture(autouse=True)
def opted_in(settings: Any, tmp_path: Path) -> None:
    """A site that has opted in, and whose files are gone with the test."""
    opt_in(settings)
    settings.MEDIA_ROOT = tmp_path / "media"
    caches["default"].clear()  # Wagtail keeps renditions there, also of images of other tests


def opt_in(settings: Any, **options: Any) -> None:
    """Name specs, and what else there is to be said."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "RENDITIONS": {"specs": SPECS, **options}}


def picture(colour: str = "teal", size: tuple[int, int] = (120, 90)) -> bytes:
    """Return the bytes of an image."""
    file = BytesIO()
    PillowImage.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def upload(model: Any = None, content: bytes = b"", name: str = "hills.png") -> Any:
    """Return an image that has just been uploaded."""
    file = ImageFile(BytesIO(content or picture()), name=name)
    return (model or get_image_model()).objects.create(title="Hills", file=file)


def recorded(name: str = "make_renditions") -> list[BackgroundTask]:
    """Return the tasks of one of the package's functions."""
    path = f"wagtail_async_hooks.{name}"
    return list(BackgroundTask.objects.filter(function=path).order_by("pk"))


def run() -> None:
    """Run what waits, as a worker does."""
    while (task := background.next()) is not None:
        background.execute(task)


def specs_of(image: Any) -> set[str]:
    """Return the specs of the renditions that an image has; each once."""
    specs = list(image.renditions.values_list("filter_spec", flat=True))
    assert len(specs) == len(set(specs))
    return set(specs)


@pytest.fixture
def page(db: None) -> BlogPage:
    """A page that shows an image which was uploaded before the site had opted in."""
    root = Page.get_first_root_node()
    home = root.add_child(instance=HomePage(title="Seen", slug="seen"))
    image = upload()
    BackgroundTask.objects.all().delete()
    page = BlogPage(title="Tides", slug="tides", introduction="High", feed_image=image)
    return home.add_child(instance=page)


# After an upload ----------------------------------------------------------------------------


def test_upload__is_followed_by_what_the_site_names(db: None) -> None:
    image = upload()
    assert specs_of(image) == set()

    run()

    [task] = recorded()
    assert (task.state, task.subject_id) == (State.SUCCEEDED, str(image.pk))
    assert specs_of(image) == EXPANDED


def test_upload__templates_find_what_was_made(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    image = upload()
    run()
    caches["default"].clear()
    monkeypatch.setattr(Filter, "run", None)

    assert image.get_rendition("fill-80x60").width == 80
    assert image.get_rendition("width-50|format-webp").file.name.endswith(".webp")


def test_upload__through_the_admin(client: Client, editor: Any) -> None:
    client.force_login(editor)
    file = SimpleUploadedFile("hills.png", picture(), "image/png")

    client.post(reverse("wagtailimages:add"), {"title": "Hills", "file": file})

    image = get_image_model().objects.get()
    [task] = recorded()
    assert (task.subject_id, task.user_id) == (str(image.pk), editor.pk)


def test_upload__another_file_through_the_admin(client: Client, editor: Any) -> None:
    image = upload()
    run()
    old = set(image.renditions.values_list("file", flat=True))
    client.force_login(editor)
    file = SimpleUploadedFile("other.png", picture("red"), "image/png")

    client.post(reverse("wagtailimages:edit", args=[image.pk]), {"title": "Other", "file": file})

    assert specs_of(image) == set()
    run()
    assert specs_of(image) == EXPANDED
    assert old.isdisjoint(image.renditions.values_list("file", flat=True))


def test_upload__another_focal_point(db: None) -> None:
    image = upload()
    run()
    image.focal_point_x, image.focal_point_y = 10, 10
    image.focal_point_width = image.focal_point_height = 5

    image.save()
    run()

    filled = image.renditions.filter(filter_spec="fill-80x60")
    assert len(set(filled.values_list("focal_point_key", flat=True))) == 2


@pytest.mark.parametrize(("fields", "count"), [(["title", "file_hash"], 0), (["file"], 1)])
def test_upload__only_if_what_matters_is_saved(db: None, fields: list[str], count: int) -> None:
    image = upload()
    BackgroundTask.objects.all().delete()

    image.save(update_fields=fields)

    assert len(recorded()) == count


def test_upload__not_where_only_publishing_counts(db: None, settings: Any) -> None:
    opt_in(settings, on=["publish"])

    upload()

    assert recorded() == []


@pytest.mark.parametrize("tasks", [{"BACKEND": "database"}, {"RENDITIONS": {"specs": SPECS}}])
def test_upload__not_without_opting_in_or_in_immediate_mode(
    db: None, settings: Any, tasks: dict[str, Any]
) -> None:
    settings.WAGTAIL_TASKS = tasks

    image = upload()

    assert recorded() == []
    assert specs_of(image) == set()


def test_upload__of_a_fixture_counts_for_nothing(db: None) -> None:
    image = upload()
    BackgroundTask.objects.all().delete()

    post_save.send(type(image), instance=image, created=True, raw=True, update_fields=None)

    assert recorded() == []


def test_upload__rolls_back_with_the_image(committed_db: None) -> None:
    with transaction.atomic():
        upload()
        transaction.set_rollback(True)

    assert recorded() == []


def test_upload__of_many_saves_makes_them_once(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    image = upload()
    for _ in range(9):
        image.save()
    made = []
    original = Filter.run
    monkeypatch.setattr(Filter, "run", lambda *args, **kw: made.append(1) or original(*args, **kw))

    run()

    states = sorted(task.state for task in recorded())
    assert states == [State.MERGED] * 9 + [State.SUCCEEDED]
    assert len(made) == len(EXPANDED)


def test_upload__goes_on_without_the_table(no_table: None, caplog: Any) -> None:
    image = upload()

    assert type(image).objects.filter(pk=image.pk).exists()
    assert "could not be recorded as a task" in caplog.text
    image.delete()


def test_upload__of_a_custom_image_model(db: None, settings: Any) -> None:
    settings.WAGTAILIMAGES_IMAGE_MODEL = "pictures.Picture"
    signal_handlers.register_image_model()
    try:
        image = upload(Picture)
        run()
    finally:
        post_save.disconnect(sender=Picture, dispatch_uid="wagtail_async_hooks.image")

    assert specs_of(image) == EXPANDED


def test_upload__of_an_svg(db: None, settings: Any) -> None:
    opt_in(settings, specs=["width-40|format-webp", "fill-80x60", "format-webp"])
    image = upload(content=SVG, name="hills.svg")

    run()

    assert [task.error for task in recorded()] == [""]
    assert specs_of(image) == {"width-40", "fill-80x60", "original"}


# Make them ----------------------------------------------------------------------------------


def test_make__nothing_of_an_image_that_is_gone(db: None) -> None:
    upload().delete()

    run()

    [task] = recorded()
    assert (task.state, task.error) == (State.CANCELLED, "its image was deleted")


def refuse() -> dict[str, Any]:
    """Do as a database does to whom a rendition without an image is given."""
    raise IntegrityError("no such image")


@pytest.mark.parametrize("answer", [dict, refuse])
def test_make__of_an_image_that_goes_meanwhile(
    db: None, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], dict[str, Any]]
) -> None:
    image = upload()

    def delete(*args: Any) -> dict[str, Any]:
        type(image).objects.filter(pk=image.pk).delete()
        return answer()

    monkeypatch.setattr(type(image), "get_renditions", delete)
    run()

    [task] = recorded()
    assert (task.state, task.error) == (State.CANCELLED, "its image was deleted")


def test_make__of_a_file_that_cannot_be_read_is_tried_again(db: None) -> None:
    image = upload()
    image.file.storage.delete(image.file.name)

    run()

    [task] = recorded()
    assert task.state == State.SCHEDULED
    assert task.error_type.endswith("SourceImageIOError")


def test_make__not_of_a_file_that_is_replaced_meanwhile(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = upload(content=picture("teal"))
    original = type(image).get_renditions
    replaced = []

    def replace_after(self: Any, *specs: str) -> Any:
        made = original(self, *specs)
        if not replaced:
            new = type(image).objects.get(pk=image.pk)
            new.file = ImageFile(BytesIO(picture("red")), name="red.png")
            new.save(update_fields=["file"])
            replaced.append(new)
        return made

    monkeypatch.setattr(type(image), "get_renditions", replace_after)
    run()

    for rendition in image.renditions.filter(filter_spec="fill-80x60"):
        with rendition.file.open() as file:
            assert PillowImage.open(file).convert("RGB").getpixel((5, 5)) == (255, 0, 0)
    assert specs_of(image) == EXPANDED
    assert [task.state for task in recorded()] == [State.SUCCEEDED] * 2


# After publishing ---------------------------------------------------------------------------


def test_publish__makes_what_its_images_lack(page: BlogPage) -> None:
    ReferenceIndex.create_or_update_for_object(page)

    page.save_revision().publish()
    run()

    [task] = recorded("make_renditions_for")
    assert (task.state, task.subject_id) == (State.SUCCEEDED, str(page.pk))
    assert specs_of(page.feed_image) == EXPANDED


def test_publish__through_the_admin_after_the_reference_index_is_written(
    page: BlogPage, client: Client, editor: Any, settings: Any
) -> None:
    backend = "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"
    settings.TASKS = {"default": {"BACKEND": backend}}
    ReferenceIndex.objects.all().delete()
    client.force_login(editor)

    client.post(reverse("wagtailadmin_pages:edit", args=[page.pk]), form_data(page, publish=True))

    [after] = recorded("make_renditions_for")
    before = BackgroundTask.objects.filter(exclusive_key=after.exclusive_key, pk__lt=after.pk)
    assert before.filter(function="wagtail.tasks.update_reference_index_task").exists()
    run()
    assert specs_of(page.feed_image) == EXPANDED


def test_publish__records_nothing_where_nothing_is_missing(page: BlogPage) -> None:
    page.save_revision().publish()
    run()
    BackgroundTask.objects.all().delete()

    page.save_revision().publish()
    run()

    assert [task.state for task in recorded("make_renditions_for")] == [State.SUCCEEDED]
    assert recorded() == []


def test_publish__not_where_only_uploads_count(page: BlogPage, settings: Any) -> None:
    opt_in(settings, on=["upload"])

    page.save_revision().publish()

    assert recorded("make_renditions_for") == []


# Real workers -------------------------------------------------------------------------------


@pytest.fixture
def real_image(committed_db: None) -> Iterator[Any]:
    """An image in a database whose transactions are real; deleted afterwards."""
    image = upload(content=picture(size=(900, 700)))
    yield image
    image.delete()


@pytest.mark.slow
def test_workers__two_at_once_make_each_rendition_once(
    real_image: Any, start: Callable[..., Process], tmp_path: Path
) -> None:
    for _ in range(5):
        real_image.save()
    specs = json.dumps({"specs": SPECS})
    for _ in range(2):
        start("wagtail_worker", SITE_DATA=str(tmp_path), TEST_RENDITIONS=specs)
    wait_until(lambda: specs_of(real_image) == EXPANDED, "all renditions are there")
    for _ in range(5):
        real_image.renditions.all().delete()
        real_image.save()

    ended = [State.SUCCEEDED, State.MERGED]
    wait_until(lambda: {task.state for task in recorded()} <= set(ended), "all tasks have ended")

    assert specs_of(real_image) == EXPANDED
    assert {task.attempt for task in recorded()} <= {0, 1}
    files = {Path(name).name for name in real_image.renditions.values_list("file", flat=True)}
    assert {path.name for path in (tmp_path / "media/images").iterdir()} == files
