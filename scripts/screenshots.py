"""
Takes pictures of all pages of the admin, on the demo's site with a week of tasks.

Each is taken light and dark, wide and narrow, into docs/pictures/all/, which Git ignores; those
that the documentation shows are kept in docs/pictures/ as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

PICTURES: Final = REPOSITORY / "docs" / "pictures"
ALL: Final = PICTURES / "all"

SHOWN: Final = (
    "tasks-light-1280",
    "task-light-1280",
    "task-dark-1280",
    "overview-light-1280",
    "overview-dark-1280",
    "errors-light-1280",
    "hooks-light-1280",
    "tasks-light-375",
    "receipt-light-1280",
    "home-light-1280",
)
"""Those that the documentation shows."""

WIDTHS: Final = {1280: 900, 375: 812}
COLOURS: Final = 192
"""So many a picture has; a page of Wagtail's needs few."""


def main() -> int:
    """Take the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of pages; all, if none are given")
    parser.add_argument("--data", type=Path, help="keep the site's data there, for another time")
    options = parser.parse_args()
    with ExitStack() as stack:
        data = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data.mkdir(parents=True, exist_ok=True)
        url, ours = stack.enter_context(site(data.resolve()))
        if not options.names:
            shutil.rmtree(ALL, ignore_errors=True)
        ALL.mkdir(parents=True, exist_ok=True)
        take(url, ours, set(options.names))
    kept = [ALL / f"{name}.png" for name in SHOWN]
    for picture in kept:
        if picture.exists():
            shutil.copy(picture, PICTURES)
    size = sum(file.stat().st_size for file in PICTURES.glob("*.png")) / 1e6
    print(
        f"{len(list(ALL.glob('*.png')))} pictures are in {ALL.relative_to(REPOSITORY)}; "
        f"those that the documentation shows come to {size:.1f} MB."
    )
    return 0


@contextmanager
def site(data: Path) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Start the demo's site; yield its address, and names and addresses of pages to begin with."""
    from scripts.demo import Child, Demo, free_port

    class Silent(Child):
        """Tells only of what it could not do."""

        def show_output(self) -> None:
            for line in self.process.stdout or ():
                if "Error" in line or '" 50' in line:
                    print(line, end="", flush=True)

    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.site.settings",
        "SITE_DATA": str(data),
        "SITE_FAST_PASSWORDS": "1",
    }
    demo = Demo(free_port(), Silent)
    demo.environment["DJANGO_SETTINGS_MODULE"] = "tests.site.settings"
    try:
        demo.prepare("migrate", "--verbosity=0")
        demo.prepare("seed", "--pages=12", SITE_BACKEND="")
        demo.prepare("seed_history")
        manage = [sys.executable, str(REPOSITORY / "tests" / "site" / "manage.py")]
        demo.start("beat", [*manage, "seed_history", "--keep-alive"])
        demo.start("web", [*manage, "runserver", "--noreload", f"127.0.0.1:{demo.port}"])
        demo.wait_for_web()
        yield demo.url, pages()
    finally:
        demo.stop()


def pages() -> tuple[tuple[str, str], ...]:
    """Return names and addresses of pages that are worth a picture of their own.

    Before Playwright starts: then, Django refuses to use the database.
    """
    import django

    django.setup()
    from django.urls import reverse

    from wagtail_async_hooks.admin.sections import SECTIONS
    from wagtail_async_hooks.models import BackgroundTask
    from wagtail_async_hooks.types import State

    ours = "wagtail_async_hooks:"
    found = [(section.name, reverse(f"{ours}{section.name}")) for section in SECTIONS]
    for state in State:
        rows = BackgroundTask.objects.filter(state=state).exclude(function__contains="bulk")
        row = rows.filter(function__contains="announce_page").last() or rows.last()
        if row is not None:
            address = reverse(f"{ours}task", args=[row.pk])
            found.append(("task" if state == State.FAILED else f"task-{state}", address))
    row = BackgroundTask.objects.filter(function__contains="bulk").last()
    if row is not None:
        found.append(("bulk_action", reverse(f"{ours}bulk_action", args=[row.task_id])))
    tasks = reverse(f"{ours}tasks")
    chosen = "&".join(
        f"id={key}"
        for key in BackgroundTask.objects.order_by("-pk").values_list("pk", flat=True)[:40]
    )
    found += [
        ("tasks-failed", f"{tasks}?state=failed"),
        ("tasks-nothing-found", f"{tasks}?q=nothing+of+that+kind"),
        ("selected", f"{reverse(f'{ours}selected')}?{chosen}"),
        *of_wagtail(BackgroundTask),
    ]
    return tuple(found)


def of_wagtail(tasks: Any) -> list[tuple[str, str]]:
    """Return pages of Wagtail's that show something of ours, and a report to compare with."""
    from django.urls import reverse

    from tests.site.blog.models import BlogPage, HomePage

    failed = tasks.objects.filter(state="failed", function__contains="announce_page").last()
    pk = failed.subject_id if failed is not None else BlogPage.objects.first().pk
    return [
        ("home", reverse("wagtailadmin_home")),
        ("receipt", reverse("wagtailadmin_pages:edit", args=[pk])),
        ("history", reverse("wagtailadmin_pages:history", args=[pk])),
        ("explorer", reverse("wagtailadmin_explore", args=[HomePage.objects.get(slug="home").pk])),
        ("wagtails-own-report", reverse("wagtailadmin_reports:site_history")),
    ]


def take(url: str, ours: tuple[tuple[str, str], ...], names: set[str]) -> None:
    """Take the pictures of all pages.

    :param names: of those that are wanted; all, if there are none.
    """
    from tests.browser import chromium
    from tests.browser.crawl import crawl

    with chromium.started() as browser:
        state = log_in(browser, url)
        for scheme in ("light", "dark"):
            for width, height in WIDTHS.items():
                context = browser.new_context(
                    base_url=url,
                    storage_state=state,
                    color_scheme=scheme,
                    viewport={"width": width, "height": height},
                    reduced_motion="reduce",
                )
                page = context.new_page()
                done = {address for _, address in ours}
                for name, address in ours:
                    if not names or name in names:
                        page.goto(address)
                        shoot(page, f"{name}-{scheme}-{width}")
                for name, address in crawl(page) if not names else ():
                    if address not in done:
                        shoot(page, f"also-{name}-{scheme}-{width}")
                context.close()


def log_in(browser: Any, url: str) -> Any:
    """Return the cookies of somebody who may do everything, in Wagtail's theme of the system."""
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/admin/login/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", "demo")
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")
    state = context.storage_state()
    context.close()
    return state


_taken: Final = count(1)
_TALLEST: Final = 2400


def shoot(page: Any, name: str) -> None:
    """Take a picture of a page, down to its end if that is not far, with few colours."""
    from PIL import Image

    page.wait_for_load_state()
    page.evaluate("document.fonts.ready")
    before = page.viewport_size
    # Wagtail's pages scroll within, so that the window has to be as tall as what is in it.
    height = page.evaluate(
        "Math.max(...[...document.querySelectorAll('html, body, main, .w-main, #main, .wrapper')]"
        ".map(each => each.scrollHeight))"
    )
    page.set_viewport_size({**before, "height": min(max(before["height"], height), _TALLEST)})
    # Messages slide in, and reduced motion does not keep Wagtail from that; spinners never end.
    page.evaluate(
        "Promise.all(document.getAnimations()"
        ".filter(each => each instanceof CSSTransition).map(each => each.finished))"
    )
    print(f"{next(_taken):4} {name}", flush=True)
    picture = Image.open(BytesIO(page.screenshot()))
    page.set_viewport_size(before)
    few = picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=0)
    few.save(ALL / f"{name}.png", optimize=True)


if __name__ == "__main__":
    sys.exit(main())
