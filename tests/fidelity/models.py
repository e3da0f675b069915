"""Content with everything that is hard to carry to a worker: one page type and one snippet."""

import uuid

from django.db import models
from django.utils import timezone
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey, ParentalManyToManyField
from modelcluster.models import ClusterableModel
from taggit.models import TaggedItemBase
from wagtail import blocks
from wagtail.admin.panels import FieldPanel, InlinePanel, PublishingPanel
from wagtail.fields import RichTextField, StreamField
from wagtail.models import DraftStateMixin, Orderable, Page, RevisionMixin
from wagtail.snippets.blocks import SnippetChooserBlock
from wagtail.snippets.models import register_snippet

from tests.site.blog.models import Author


class StepBlock(blocks.StructBlock):
    """Blocks inside of a block."""

    day = blocks.DateBlock()
    minutes = blocks.DecimalBlock()
    done = blocks.BooleanBlock(required=False)
    remarks = blocks.ListBlock(blocks.CharBlock())


class BodyBlock(blocks.StreamBlock):
    """Blocks of several kinds."""

    heading = blocks.CharBlock()
    paragraph = blocks.RichTextBlock()
    step = StepBlock()
    author = SnippetChooserBlock(Author)


class DossierTag(TaggedItemBase):
    """A tag on a dossier."""

    content_object = ParentalKey(
        "fidelity.Dossier", on_delete=models.CASCADE, related_name="tagged_items"
    )


class Dossier(Page):
    """A page with fields of many kinds, a body, tags, relations, and children with children."""

    reference = models.UUIDField(default=uuid.uuid4)
    day = models.DateField(default=timezone.localdate)
    due = models.DateTimeField(null=True, blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    weight = models.FloatField(default=0)
    options = models.JSONField(default=dict, blank=True)
    summary = RichTextField(blank=True)
    editor = models.ForeignKey(
        Author, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    authors = ParentalManyToManyField(Author, blank=True, related_name="+")
    body = StreamField(BodyBlock(), blank=True)
    touched = models.DateTimeField(auto_now=True)
    tags = ClusterTaggableManager(through=DossierTag, blank=True)

    content_panels = [
        *Page.content_panels,
        FieldPanel("reference"),
        FieldPanel("day"),
        FieldPanel("due"),
        FieldPanel("price"),
        FieldPanel("weight"),
        FieldPanel("options"),
        FieldPanel("summary"),
        FieldPanel("editor"),
        FieldPanel("authors"),
        FieldPanel("body"),
        FieldPanel("tags"),
        InlinePanel("chapters"),
    ]


class Chapter(ClusterableModel, Orderable):
    """A child of a dossier, with children of its own."""

    dossier = ParentalKey(Dossier, on_delete=models.CASCADE, related_name="chapters")
    title = models.CharField(max_length=100)

    panels = [FieldPanel("title"), InlinePanel("notes")]

    def __str__(self) -> str:
        return self.title


class Note(Orderable):
    """A grandchild of a dossier."""

    chapter = ParentalKey(Chapter, on_delete=models.CASCADE, related_name="notes")
    text = models.CharField(max_length=100)

    panels = [FieldPanel("text")]

    def __str__(self) -> str:
        return self.text


@register_snippet
class Exhibit(DraftStateMixin, RevisionMixin, ClusterableModel):
    """A snippet with drafts, children, a body, and a primary key that is not a number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    body = StreamField(BodyBlock(), blank=True)
    touched = models.DateTimeField(auto_now=True)

    panels = [
        FieldPanel("name"),
        FieldPanel("body"),
        InlinePanel("labels"),
        PublishingPanel(),
    ]

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Label(Orderable):
    """A child of an exhibit."""

    exhibit = ParentalKey(Exhibit, on_delete=models.CASCADE, related_name="labels")
    text = models.CharField(max_length=100)

    panels = [FieldPanel("text")]

    def __str__(self) -> str:
        return self.text


@register_snippet
class Voucher(models.Model):
    """A snippet without drafts and children, with fields of many kinds."""

    code = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    value = models.DecimalField(max_digits=8, decimal_places=2)
    share = models.FloatField(default=0)
    starts = models.DateTimeField(null=True)
    ends = models.DateField(null=True)
    at = models.TimeField(null=True)
    lasts = models.DurationField(null=True)
    seal = models.BinaryField(default=b"")
    terms = models.JSONField(default=dict)
    body = StreamField(BodyBlock(), blank=True)
    holder = models.ForeignKey(Author, on_delete=models.CASCADE, null=True, related_name="+")
    authors = models.ManyToManyField(Author, related_name="+")
    touched = models.DateTimeField(auto_now=True)

    panels = [FieldPanel("value")]

    class Meta:
        ordering = ["value"]

    def __str__(self) -> str:
        return f"{self.value:.2f}"
