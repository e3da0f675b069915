"""Tests of suggestions for names that are not known."""

import pytest

from wagtail_async_hooks.utils.suggestions import nearest

NAMES = {"after_publish_page": 1, "after_edit_page": 2, "before_edit_page": 3}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("after_edit_pages", "after_edit_page"),
        ("after_publish", "after_publish_page"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_nearest(name: str, expected: str) -> None:
    assert nearest(name, NAMES) == expected
    assert nearest(name, (known for known in NAMES)) == expected


def test_nearest__as_similar_as_asked() -> None:
    assert nearest("after_edit", NAMES, cutoff=0.75)
    assert not nearest("after_edit", NAMES, cutoff=0.95)


def test_nearest__of_several_the_same_each_time() -> None:
    assert {nearest("ad", known) for known in (["ab", "ac"], ["ac", "ab"])} == {
        nearest("ad", {"ab", "ac"})
    }
