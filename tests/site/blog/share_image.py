"""Draws the picture that stands for a page where it is shared."""

import colorsys
import os
import time
import zlib
from io import BytesIO

from django.conf import settings
from django.core.files.base import ContentFile
from django.utils import timezone
from PIL import Image, ImageDraw, ImageFont
from wagtail.models import Page

from .models import BlogPage, ShareImage

SIZE = (1200, 630)
MARGIN = 80
MAX_LINES = 4

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(page: Page, drawn_for: str) -> ShareImage:
    """Draw the share image of `page`, and replace an earlier one."""
    site = page.get_site()
    picture = render(page.title, site.site_name if site else "", hue=hue_of(page))
    time.sleep(settings.SITE_HOOK_DELAY)
    earlier = ShareImage.objects.filter(page_id=page.pk).first()
    share_image, _ = ShareImage.objects.update_or_create(
        page_id=page.pk,
        defaults={
            "file": ContentFile(picture, name=f"{page.pk}.png"),
            "page_class": type(page).__name__,
            "drawn_for": drawn_for,
            "drawn_by_pid": os.getpid(),
            "drawn_at": timezone.now(),
        },
    )
    if earlier is not None:
        earlier.file.delete(save=False)
    return share_image


def render(title: str, site_name: str, hue: float) -> bytes:
    """Return a PNG with the title in large letters and the site's name below."""
    image = Image.new("RGB", SIZE, colour(hue, lightness=0.22))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, 0, 24, SIZE[1]), fill=colour(hue, lightness=0.62))
    text, font = fitted(title)
    canvas.multiline_text((MARGIN, MARGIN), text, font=font, fill="white", spacing=18)
    canvas.text(
        (MARGIN, SIZE[1] - MARGIN),
        site_name,
        font=ImageFont.load_default(size=36),
        fill=colour(hue, lightness=0.8),
        anchor="ls",
    )
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def hue_of(page: Page) -> float:
    """Return a hue between 0 and 1: the same for all pages with the same first tag."""
    tags = sorted(page.tags.slugs()) if isinstance(page, BlogPage) else []
    return zlib.crc32(" ".join(tags[:1]).encode()) % 360 / 360


def colour(hue: float, lightness: float) -> tuple[int, int, int]:
    """Return a calm colour as red, green and blue."""
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.45)
    return round(red * 255), round(green * 255), round(blue * 255)


def fitted(title: str) -> tuple[str, Font]:
    """Return `title` in lines, and the largest font in which they fit into the picture."""
    for size in (96, 84, 72, 60, 48):
        font = ImageFont.load_default(size=size)
        lines = wrapped(title, font)
        if len(lines) <= MAX_LINES:
            break
    return "\n".join(lines[:MAX_LINES]), font


def wrapped(title: str, font: Font) -> list[str]:
    """Return `title` in lines no wider than the picture allows."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= SIZE[0] - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
