"""Tests of the model whose table all rows of a model are in."""

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test.utils import isolate_apps
from wagtail.models import Page

from tests.site.blog.models import Author, BlogPage
from wagtail_async_hooks.utils.models import root_model


@pytest.mark.parametrize(
    ("model", "root"), [(BlogPage, Page), (Page, Page), (Author, Author), (User, User)]
)
def test_root_model(model: type[models.Model], root: type[models.Model]) -> None:
    assert root_model(model) is root


@isolate_apps("tests.site.blog")
def test_root_model__of_a_proxy_and_of_what_inherits_twice() -> None:
    class Proxy(Author):
        class Meta:
            app_label = "blog"
            proxy = True

    class Entry(BlogPage):
        class Meta:
            app_label = "blog"

    assert (root_model(Proxy), root_model(Entry)) == (Author, Page)
