"""Models that the demo site lacks; none points at a model of another app, or is pointed at."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from modelcluster.fields import ParentalKey, ParentalManyToManyField
from modelcluster.models import ClusterableModel
from wagtail.blocks import CharBlock, StructBlock
from wagtail.fields import StreamField
from wagtail.models import DraftStateMixin, Orderable, RevisionMixin


class Odd(models.Model):
    """What all of them have in common."""

    wagtail_reference_index_ignore = True

    class Meta:
        abstract = True


# Odd keys


class Ticket(Odd):
    """A UUID for a key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.CharField(max_length=100, blank=True)


class Place(Odd):
    """A text for a key, and a manager that hides some."""

    code = models.CharField(max_length=100, primary_key=True)
    is_hidden = models.BooleanField(default=False)

    class Visible(models.Manager["Place"]):
        """Shows what is not hidden."""

        def get_queryset(self) -> models.QuerySet[Place]:
            return super().get_queryset().filter(is_hidden=False)

    objects = Visible()
    everything = models.Manager["Place"]()


class Seat(Odd):
    """Two columns for a key."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.CharField(max_length=10)
    number = models.IntegerField()
    text = models.CharField(max_length=100, blank=True)


# Odd families


class Vehicle(Odd):
    """A parent with a table of its own."""

    name = models.CharField(max_length=100)
    made_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)


class Lorry(Vehicle):
    """A child of a model with a table."""

    load = models.DecimalField(max_digits=12, decimal_places=4, null=True)


class TowTruck(Lorry):
    """A grandchild."""

    reach = models.FloatField(default=1.5)


class FastVehicle(Vehicle):
    """A proxy."""

    class Meta:
        proxy = True


# Odd fields


class Colour(models.TextChoices):
    """What a field may be limited to."""

    RED = "r", "Red"
    BLUE = "b", "Blue"


class Amount:
    """A value that Django knows nothing of."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and self.cents == other.cents

    def __hash__(self) -> int:
        return hash(self.cents)


class AmountField(models.IntegerField):
    """A field of a library, for such values."""

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> Amount | None:
        return None if value is None else Amount(value)

    def to_python(self, value: Any) -> Amount | None:
        if value is None or isinstance(value, Amount):
            return value
        return Amount(int(value))

    def get_prep_value(self, value: Any) -> int | None:
        return value.cents if isinstance(value, Amount) else value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj).cents)


class Everything(Odd):
    """A field of every kind."""

    big = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    colour = models.CharField(max_length=1, choices=Colour, blank=True)
    date = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    time = models.TimeField(null=True)
    duration = models.DurationField(null=True)
    price = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    number = models.FloatField(null=True)
    document = models.JSONField(null=True)
    file = models.FileField(upload_to="oddities", blank=True)
    address = models.GenericIPAddressField(null=True)
    identifier = models.UUIDField(null=True)
    text = models.TextField(blank=True, db_column="some text")
    amount = AmountField(null=True)
    rank = models.IntegerField(db_default=7)
    ticket = models.ForeignKey(Ticket, on_delete=models.SET_NULL, null=True)
    body = StreamField([("heading", CharBlock()), ("quote", StructBlock([("by", CharBlock())]))])
    twice = models.GeneratedField(
        expression=models.F("big") * 2, output_field=models.BigIntegerField(), db_persist=True
    )
    made_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    changed_on = models.DateField(auto_now=True)


# Odd clusters


class Album(Odd, ClusterableModel):
    """A family of three generations, which is no page."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=12, decimal_places=4, null=True)
    length = models.DurationField(null=True)
    cover = models.BinaryField(null=True)
    notes = models.JSONField(null=True)
    file = models.FileField(upload_to="oddities", blank=True)
    tickets = ParentalManyToManyField(Ticket, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)


class Song(Odd, Orderable, ClusterableModel):
    """A child that has children, and no order."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    album = ParentalKey(Album, on_delete=models.CASCADE, related_name="songs")
    title = models.CharField(max_length=100)
    length = models.DurationField(null=True)
    changed_at = models.DateTimeField(auto_now=True)


class Verse(Orderable, Odd):
    """A grandchild, which has an order."""

    song = ParentalKey(Song, on_delete=models.CASCADE, related_name="verses")
    text = models.TextField(blank=True)
    changed_on = models.DateField(auto_now=True)


class Leaflet(Odd, DraftStateMixin, RevisionMixin, ClusterableModel):
    """Something with drafts, which is no page."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=100)
    body = StreamField([("heading", CharBlock()), ("quote", StructBlock([("by", CharBlock())]))])


class LeafletLine(Odd, Orderable):
    """A child of it."""

    leaflet = ParentalKey(Leaflet, on_delete=models.CASCADE, related_name="lines")
    text = models.CharField(max_length=100)
