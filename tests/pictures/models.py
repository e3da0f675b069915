"""An image model of a site's own, as Wagtail's documentation shows it."""

from __future__ import annotations

from django.db import models
from wagtail.images.models import AbstractImage, AbstractRendition, Image


class Picture(AbstractImage):
    """An image with a field more."""

    caption = models.CharField(max_length=200, blank=True)

    admin_form_fields = (*Image.admin_form_fields, "caption")


class PictureRendition(AbstractRendition):
    """Its renditions."""

    image = models.ForeignKey(Picture, on_delete=models.CASCADE, related_name="renditions")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("image", "filter_spec", "focal_point_key"), name="unique_picture_rendition"
            )
        ]
