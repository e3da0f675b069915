"""Draws the demo's pictures: hills under a sky, in different light."""

import random
from io import BytesIO

from PIL import Image, ImageColor, ImageDraw, ImageOps

SIZE = (1600, 1000)
HILLS = 4

# Title: what is on it, then the colours of the sky (above, at the horizon) and of the nearest hill.
PICTURES = {
    "Early light": ("Hills under a pale morning sky", "#6d8fb3", "#f6d9b8", "#23364a"),
    "Noon": ("Green hills under a blue sky", "#3f7fb8", "#dcecf2", "#1f4a3a"),
    "Evening": ("Dark hills below a red evening sky", "#59406b", "#f2a07b", "#2b1f33"),
    "Mist": ("Hills that fade into mist", "#9aa8ad", "#e8ebe9", "#39464a"),
    "Summer night": ("Hills on a clear summer night", "#141c3a", "#54709c", "#0b1020"),
    "After the rain": ("Wet hills below clearing clouds", "#5a6f7b", "#d9dccb", "#2c4030"),
}


def draw(title: str) -> bytes:
    """Return the JPEG that belongs to a title: always the same one."""
    _, zenith, horizon, nearest = PICTURES[title]
    image = gradient(zenith, horizon)
    chance = random.Random(title)
    for number in range(1, HILLS + 1):
        nearness = number / HILLS
        mask = hill(base=0.45 + 0.42 * nearness, roughness=0.08, chance=chance)
        image.paste(mixed(horizon, nearest, nearness), mask=mask)
    file = BytesIO()
    image.save(file, "JPEG", quality=82)
    return file.getvalue()


def gradient(above: str, below: str) -> Image.Image:
    """Return a sky that turns from one colour to another on its way down."""
    return ImageOps.colorize(Image.linear_gradient("L").resize(SIZE), above, below)


def mixed(far: str, near: str, nearness: float) -> tuple[int, ...]:
    """Return the colour of a hill: the farther away, the more it is like the horizon."""
    pairs = zip(ImageColor.getrgb(far), ImageColor.getrgb(near), strict=True)
    return tuple(round(there + (here - there) * nearness) for there, here in pairs)


def hill(base: float, roughness: float, chance: random.Random) -> Image.Image:
    """Return a mask with a hill whose ridge is near `base`, a share of the height."""
    ridge = [base + chance.uniform(-roughness, roughness) for _ in range(9)]
    width, height = SIZE
    line = Image.new("F", (len(ridge), 1))
    line.putdata([share * height for share in ridge])
    smooth = line.resize((width // 4, 1), Image.Resampling.BICUBIC)
    mask = Image.new("L", SIZE)
    points = [(4 * x, smooth.getpixel((x, 0))) for x in range(smooth.width)]
    ImageDraw.Draw(mask).polygon([*points, (width, points[-1][1]), SIZE, (0, height)], fill=255)
    return mask
