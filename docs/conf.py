"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402  # the path and the settings come first

django.setup()  # autodoc imports modules that need models

from wagtail_async_hooks import __version__  # noqa: E402

project = "wagtail_async_hooks"
version = release = __version__
copyright = "wagtail_async_hooks maintainers"  # noqa: A001  # Sphinx's name
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 4
"""Headings have the anchors that code hosts give them, so that links work in both."""

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "Background hooks for Wagtail"
html_theme_options = {
    # Teal, as in Wagtail's admin; a lighter one in the dark.
    "light_css_variables": {"color-brand-primary": "#00676a", "color-brand-content": "#00676a"},
    "dark_css_variables": {"color-brand-primary": "#80d7d8", "color-brand-content": "#80d7d8"},
}
html_show_sphinx = False
html_show_sourcelink = False
