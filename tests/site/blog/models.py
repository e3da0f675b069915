"""The blog's content, and the rows in which its background hooks leave what they made."""

from typing import Any

from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey
from taggit.models import TaggedItemBase
from wagtail.admin.panels import FieldPanel, InlinePanel, MultiFieldPanel
from wagtail.contrib.settings.models import BaseSiteSetting, register_setting
from wagtail.fields import StreamField
from wagtail.models import DraftStateMixin, Orderable, Page, RevisionMixin
from wagtail.search import index
from wagtail.snippets.models import register_snippet

from .blocks import BodyBlock

# Content


@register_snippet
class Author(DraftStateMixin, RevisionMixin, index.Indexed, models.Model):
    """Somebody who writes for the blog; edited as a draft, then published."""

    name = models.CharField(max_length=100)
    role = models.CharField(max_length=100, blank=True)
    biography = models.TextField(blank=True)

    panels = [FieldPanel("name"), FieldPanel("role"), FieldPanel("biography")]
    search_fields = [
        index.SearchField("name"),
        index.AutocompleteField("name"),
        index.SearchField("biography"),
    ]

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


@register_snippet
class Advert(models.Model):
    """A line of advertising on the home page: a snippet without drafts."""

    text = models.CharField(max_length=200)
    url = models.URLField("URL", blank=True)

    panels = [FieldPanel("text"), FieldPanel("url")]

    class Meta:
        ordering = ["text"]

    def __str__(self) -> str:
        return self.text


@register_setting(icon="mail")
class ContactSettings(BaseSiteSetting):
    """How readers reach the people behind the site; shown at the foot of every page."""

    email = models.EmailField(blank=True)
    address = models.CharField(max_length=200, blank=True)

    panels = [FieldPanel("email"), FieldPanel("address")]

    class Meta:
        verbose_name = "contact settings"


class HomePage(Page):
    """The front page: all blog pages, newest first, or those with one tag."""

    PAGE_SIZE = 12

    introduction = models.CharField(max_length=250, blank=True)

    content_panels = [*Page.content_panels, FieldPanel("introduction")]
    subpage_types = ["blog.BlogPage"]
    max_count = 1

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the posts of the asked-for tag and page number, and the adverts."""
        context = super().get_context(request, *args, **kwargs)
        tag = request.GET.get("tag", "")
        posts = BlogPage.objects.child_of(self).live().order_by("-date", "-pk")
        if tag:
            posts = posts.filter(tags__slug=tag)
        posts = posts.select_related("author").prefetch_related("feed_image__renditions")
        context["tag"] = tag
        context["posts"] = Paginator(posts, self.PAGE_SIZE).get_page(request.GET.get("p"))
        context["adverts"] = Advert.objects.all()
        return context


class BlogPageTag(TaggedItemBase):
    """A tag on a blog page."""

    content_object = ParentalKey(
        "blog.BlogPage", on_delete=models.CASCADE, related_name="tagged_items"
    )


class BlogPage(Page):
    """One post."""

    date = models.DateField(default=timezone.localdate)
    author = models.ForeignKey(
        Author, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    introduction = models.CharField(max_length=250)
    feed_image = models.ForeignKey(
        "wagtailimages.Image", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    body = StreamField(BodyBlock())
    tags = ClusterTaggableManager(through=BlogPageTag, blank=True)

    content_panels = [
        *Page.content_panels,
        FieldPanel("introduction"),
        FieldPanel("feed_image"),
        FieldPanel("body"),
        MultiFieldPanel(
            [FieldPanel("date"), FieldPanel("author"), FieldPanel("tags")], heading="Details"
        ),
        InlinePanel("related_links", heading="Related links", label="Link"),
    ]
    search_fields = [
        *Page.search_fields,
        index.SearchField("introduction"),
        index.SearchField("body"),
    ]
    parent_page_types = ["blog.HomePage"]
    subpage_types: list[str] = []

    @property
    def digest_of_live_text(self) -> "TextDigest | None":
        """The digest of what visitors read; None while it describes a newer draft instead."""
        if self.has_unpublished_changes:
            return None
        return TextDigest.objects.filter(page_id=self.pk).first()


class RelatedLink(Orderable):
    """A link below a post."""

    page = ParentalKey(BlogPage, on_delete=models.CASCADE, related_name="related_links")
    title = models.CharField(max_length=120)
    url = models.URLField("URL")

    panels = [FieldPanel("title"), FieldPanel("url")]

    def __str__(self) -> str:
        return self.title


# What the background hooks made


class ShareImage(models.Model):
    """The picture that stands for a page where it is shared, and who had it drawn."""

    page = models.OneToOneField(Page, on_delete=models.CASCADE, related_name="share_image")
    file = models.FileField(upload_to="share_images")
    page_class = models.CharField(max_length=100)
    drawn_for = models.CharField(max_length=150, blank=True)
    drawn_by_pid = models.PositiveIntegerField()
    drawn_at = models.DateTimeField(default=timezone.now)

    # Otherwise Wagtail would list it among the uses of the page.
    wagtail_reference_index_ignore = True

    def __str__(self) -> str:
        return str(self.file)


class TextDigest(models.Model):
    """What the text of a post, as last saved, comes to: its length, beginning and checksum."""

    WORDS_PER_MINUTE = 220

    page = models.OneToOneField(BlogPage, on_delete=models.CASCADE, related_name="text_digest")
    words = models.PositiveIntegerField()
    excerpt = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    updated_at = models.DateTimeField(default=timezone.now)

    wagtail_reference_index_ignore = True

    def __str__(self) -> str:
        return f"{self.words} words, {self.digest[:12]}"

    @property
    def minutes(self) -> int:
        """How long reading the text takes, at least a minute."""
        return max(1, round(self.words / self.WORDS_PER_MINUTE))


class Delivery(models.Model):
    """One attempt to tell the webhook that something was published."""

    url = models.URLField()
    event = models.CharField(max_length=50)
    payload = models.JSONField()
    status = models.PositiveSmallIntegerField(null=True)
    error = models.TextField(blank=True)
    sent_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.event} to {self.url}: {self.error or self.status}"
