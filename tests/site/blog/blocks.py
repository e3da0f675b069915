"""The blocks that a blog page's body is made of."""

from wagtail import blocks
from wagtail.images.blocks import ImageBlock


class QuoteBlock(blocks.StructBlock):
    """Words of somebody else, and who that is."""

    text = blocks.TextBlock()
    source = blocks.CharBlock(required=False)

    class Meta:
        icon = "openquote"
        template = "blog/blocks/quote.html"


class FigureBlock(blocks.StructBlock):
    """An image with a line of text below it."""

    image = ImageBlock()
    caption = blocks.CharBlock(required=False)

    class Meta:
        icon = "image"
        template = "blog/blocks/figure.html"


class BodyBlock(blocks.StreamBlock):
    """The body of a blog page."""

    heading = blocks.CharBlock(icon="title", template="blog/blocks/heading.html")
    paragraph = blocks.RichTextBlock(features=["bold", "italic", "link", "ol", "ul"])
    image = FigureBlock()
    quote = QuoteBlock()
