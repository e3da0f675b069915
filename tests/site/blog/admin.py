"""Lists, in Django's admin, what the background hooks made."""

from django.contrib import admin

from .models import Delivery, ShareImage, TextDigest


@admin.register(ShareImage)
class ShareImageAdmin(admin.ModelAdmin):
    """Shows who had each image drawn, and by which process."""

    list_display = ("page", "page_class", "drawn_for", "drawn_by_pid", "drawn_at")


@admin.register(TextDigest)
class TextDigestAdmin(admin.ModelAdmin):
    """Shows the length of every text."""

    list_display = ("page", "words", "updated_at")


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):
    """Shows what the webhook was told, and what it answered."""

    list_display = ("event", "url", "status", "error", "sent_at")
