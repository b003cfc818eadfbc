import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('timelines', '0002_ranges'),
    ]

    operations = [
        migrations.CreateModel(
            name='Flag',
            fields=[
                ('tweet_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('author_id', models.BigIntegerField()),
                ('raised_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('done_at', models.DateTimeField(editable=False, help_text='When the delivery was seen to be done.', null=True)),
            ],
            options={
                'verbose_name': 'flag',
            },
        ),
    ]
