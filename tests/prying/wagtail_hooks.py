"""Wagtail imports this in every process that has the app."""

from tests.prying import functions

functions.register()
