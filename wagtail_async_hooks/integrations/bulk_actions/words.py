"""What a bulk action's objects are called when they are counted."""

from __future__ import annotations

from django.db.models import Model
from django.utils.translation import gettext as _


def name_of_many(model: type[Model], number: int) -> str:
    """Return what so many objects of a model are called: "page", or "pages"."""
    options = model._meta
    return str(options.verbose_name if number == 1 else options.verbose_name_plural)


def counted(model: type[Model], number: int) -> str:
    """Return a number of objects: "300 pages"."""
    return _("%(number)d %(objects)s") % {
        "number": number,
        "objects": name_of_many(model, number),
    }
