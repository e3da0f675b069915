"""The tables of the content that is hard to carry."""

import django.db.models.deletion
import django.utils.timezone
import modelcluster.contrib.taggit
import modelcluster.fields
import tests.site.blog.models
import uuid
import wagtail.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('blog', '0001_initial'),
        ('taggit', '0006_rename_taggeditem_content_type_object_id_taggit_tagg_content_8fc721_idx'),
        ('wagtailcore', '0097_baselogentry_uuid_action_timestamp_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Dossier',
            fields=[
                ('page_ptr', models.OneToOneField(auto_created=True, on_delete=django.db.models.deletion.CASCADE, parent_link=True, primary_key=True, serialize=False, to='wagtailcore.page')),
                ('reference', models.UUIDField(default=uuid.uuid4)),
                ('day', models.DateField(default=django.utils.timezone.localdate)),
                ('due', models.DateTimeField(blank=True, null=True)),
                ('price', models.DecimalField(decimal_places=2, default=0, max_digits=8)),
                ('weight', models.FloatField(default=0)),
                ('options', models.JSONField(blank=True, default=dict)),
                ('summary', wagtail.fields.RichTextField(blank=True)),
                ('body', wagtail.fields.StreamField([('heading', 0), ('paragraph', 1), ('step', 6), ('author', 7)], blank=True, block_lookup={0: ('wagtail.blocks.CharBlock', (), {}), 1: ('wagtail.blocks.RichTextBlock', (), {}), 2: ('wagtail.blocks.DateBlock', (), {}), 3: ('wagtail.blocks.DecimalBlock', (), {}), 4: ('wagtail.blocks.BooleanBlock', (), {'required': False}), 5: ('wagtail.blocks.ListBlock', (0,), {}), 6: ('wagtail.blocks.StructBlock', [[('day', 2), ('minutes', 3), ('done', 4), ('remarks', 5)]], {}), 7: ('wagtail.snippets.blocks.SnippetChooserBlock', (tests.site.blog.models.Author,), {})})),
                ('touched', models.DateTimeField(auto_now=True)),
                ('authors', modelcluster.fields.ParentalManyToManyField(blank=True, related_name='+', to='blog.author')),
                ('editor', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='blog.author')),
            ],
            options={
                'abstract': False,
            },
            bases=('wagtailcore.page',),
        ),
        migrations.CreateModel(
            name='Chapter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sort_order', models.IntegerField(blank=True, editable=False, null=True)),
                ('title', models.CharField(max_length=100)),
                ('dossier', modelcluster.fields.ParentalKey(on_delete=django.db.models.deletion.CASCADE, related_name='chapters', to='fidelity.dossier')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='DossierTag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('content_object', modelcluster.fields.ParentalKey(on_delete=django.db.models.deletion.CASCADE, related_name='tagged_items', to='fidelity.dossier')),
                ('tag', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='%(app_label)s_%(class)s_items', to='taggit.tag')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='dossier',
            name='tags',
            field=modelcluster.contrib.taggit.ClusterTaggableManager(blank=True, help_text='A comma-separated list of tags.', through='fidelity.DossierTag', to='taggit.Tag', verbose_name='Tags'),
        ),
        migrations.CreateModel(
            name='Exhibit',
            fields=[
                ('live', models.BooleanField(default=True, editable=False, verbose_name='live')),
                ('has_unpublished_changes', models.BooleanField(default=False, editable=False, verbose_name='has unpublished changes')),
                ('first_published_at', models.DateTimeField(blank=True, db_index=True, null=True, verbose_name='first published at')),
                ('last_published_at', models.DateTimeField(editable=False, null=True, verbose_name='last published at')),
                ('go_live_at', models.DateTimeField(blank=True, null=True, verbose_name='go live date/time')),
                ('expire_at', models.DateTimeField(blank=True, null=True, verbose_name='expiry date/time')),
                ('expired', models.BooleanField(default=False, editable=False, verbose_name='expired')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('body', wagtail.fields.StreamField([('heading', 0), ('paragraph', 1), ('step', 6), ('author', 7)], blank=True, block_lookup={0: ('wagtail.blocks.CharBlock', (), {}), 1: ('wagtail.blocks.RichTextBlock', (), {}), 2: ('wagtail.blocks.DateBlock', (), {}), 3: ('wagtail.blocks.DecimalBlock', (), {}), 4: ('wagtail.blocks.BooleanBlock', (), {'required': False}), 5: ('wagtail.blocks.ListBlock', (0,), {}), 6: ('wagtail.blocks.StructBlock', [[('day', 2), ('minutes', 3), ('done', 4), ('remarks', 5)]], {}), 7: ('wagtail.snippets.blocks.SnippetChooserBlock', (tests.site.blog.models.Author,), {})})),
                ('touched', models.DateTimeField(auto_now=True)),
                ('latest_revision', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='wagtailcore.revision', verbose_name='latest revision')),
                ('live_revision', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='wagtailcore.revision', verbose_name='live revision')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Label',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sort_order', models.IntegerField(blank=True, editable=False, null=True)),
                ('text', models.CharField(max_length=100)),
                ('exhibit', modelcluster.fields.ParentalKey(on_delete=django.db.models.deletion.CASCADE, related_name='labels', to='fidelity.exhibit')),
            ],
            options={
                'ordering': ['sort_order'],
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sort_order', models.IntegerField(blank=True, editable=False, null=True)),
                ('text', models.CharField(max_length=100)),
                ('chapter', modelcluster.fields.ParentalKey(on_delete=django.db.models.deletion.CASCADE, related_name='notes', to='fidelity.chapter')),
            ],
            options={
                'ordering': ['sort_order'],
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Voucher',
            fields=[
                ('code', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('value', models.DecimalField(decimal_places=2, max_digits=8)),
                ('share', models.FloatField(default=0)),
                ('starts', models.DateTimeField(null=True)),
                ('ends', models.DateField(null=True)),
                ('at', models.TimeField(null=True)),
                ('lasts', models.DurationField(null=True)),
                ('seal', models.BinaryField(default=b'')),
                ('terms', models.JSONField(default=dict)),
                ('body', wagtail.fields.StreamField([('heading', 0), ('paragraph', 1), ('step', 6), ('author', 7)], blank=True, block_lookup={0: ('wagtail.blocks.CharBlock', (), {}), 1: ('wagtail.blocks.RichTextBlock', (), {}), 2: ('wagtail.blocks.DateBlock', (), {}), 3: ('wagtail.blocks.DecimalBlock', (), {}), 4: ('wagtail.blocks.BooleanBlock', (), {'required': False}), 5: ('wagtail.blocks.ListBlock', (0,), {}), 6: ('wagtail.blocks.StructBlock', [[('day', 2), ('minutes', 3), ('done', 4), ('remarks', 5)]], {}), 7: ('wagtail.snippets.blocks.SnippetChooserBlock', (tests.site.blog.models.Author,), {})})),
                ('touched', models.DateTimeField(auto_now=True)),
                ('authors', models.ManyToManyField(related_name='+', to='blog.author')),
                ('holder', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='blog.author')),
            ],
            options={
                'ordering': ['value'],
            },
        ),
    ]
