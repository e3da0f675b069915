"""What every page has to be: free of axe's violations, no wider than the window, and reachable."""

from __future__ import annotations

from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

STOCK: Final = "/admin/reports/site-history/"
"""A report of Wagtail's own, with which ours are compared."""

_STOCK_FILTERED: Final = f"{STOCK}?label=nothing"
"""The same with a filter on, which has a heading of its own."""

_axe: Final = Axe()
_OPTIONS: Final = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa",
                                          "best-practice"]},
}  # fmt: skip


def violations(page: Page, stock: set[tuple[str, str]] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Return what axe finds on a page, one line for each element.

    :param stock: rules and elements that a report of Wagtail's own has as well.
    """
    return [
        f"{rule} at {target}: {html[:200]}"
        for rule, target, html in _found(page)
        if (rule, target) not in stock
    ]


def stock_violations(page: Page) -> set[tuple[str, str]]:
    """Return the rules that a report of Wagtail's own breaks, each with the element."""
    stock = set()
    for url in (STOCK, _STOCK_FILTERED):
        page.goto(url)
        stock |= {(rule, target) for rule, target, _ in _found(page)}
    return stock


def _found(page: Page) -> list[tuple[str, str, str]]:
    page.wait_for_load_state("networkidle")
    response: dict[str, Any] = _axe.run(page, options=_OPTIONS).response
    return [
        (str(violation["id"]), " ".join(map(str, node["target"])), str(node["html"]))
        for violation in response["violations"]
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> list[str]:
    """Return the elements that make a page wider than its window; none if it is not."""
    script = """() => {
        const wide = window.innerWidth;
        const roots = [document.scrollingElement, ...document.querySelectorAll('main, .w-main')];
        if (roots.every(each => each.scrollWidth <= Math.max(each.clientWidth, 0) + 1)) return [];
        const scrolls = each => each && each !== document.body
            && (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(each).overflowX)
            && !each.matches('main, .w-main, html, body') || scrolls(each.parentElement));
        return [...document.querySelectorAll('main *')].filter(each => {
            const box = each.getBoundingClientRect();
            const sticks_out = box.right > wide + 1 || box.left < -1;
            return box.width && sticks_out && !scrolls(each.parentElement);
        }).map(each => each.outerHTML.slice(0, 160));
    }"""
    found: list[str] = page.evaluate(script)
    return found


def unreachable(page: Page) -> list[str]:
    """Return what can be pressed within the content, but is not reached by Tab, or not seen then.

    From the first to the last that a person may use; each has to show that it has the focus.
    """
    wanted: int = page.evaluate(
        """() => {
        const what = 'a[href], button:not([disabled]), input:not([type=hidden]):not([disabled]), '
            + 'select:not([disabled]), textarea:not([disabled]), summary, [tabindex="0"]';
        const root = document.querySelector('main') || document.querySelector('.w-main');
        const how = {visibilityProperty: true, opacityProperty: true};
        const shown = each => each.checkVisibility(how)
            && each.getBoundingClientRect().width > 0 && !each.closest('[inert]');
        window.wanted = [...root.querySelectorAll(what)].filter(each => shown(each)
            && each.tabIndex >= 0 && !(each.type === 'radio'));
        window.reached = new Set();
        document.activeElement.blur();
        const first = window.wanted[0];
        if (first) first.focus();
        return window.wanted.length;
    }"""
    )
    unseen: list[str] = []
    for _ in range(min(wanted * 2 + 20, 400)):
        told = page.evaluate(
            """() => {
            const here = document.activeElement;
            if (!window.wanted.includes(here) || window.reached.has(here)) return '';
            window.reached.add(here);
            const look = getComputedStyle(here);
            const seen = (look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0)
                || look.boxShadow !== 'none';
            return seen ? '' : here.outerHTML.slice(0, 160);
        }"""
        )
        if told:
            unseen.append(f"The focus is not seen: {told}")
        page.keyboard.press("Tab")
    missing: list[str] = page.evaluate(
        "() => window.wanted.filter(each => !window.reached.has(each))"
        ".map(each => 'Not reached: ' + each.outerHTML.slice(0, 160))"
    )
    return unseen + missing
