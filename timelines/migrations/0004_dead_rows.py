from django.db import migrations, models

import timelines.models


class Migration(migrations.Migration):

    dependencies = [
        ('timelines', '0003_flag'),
    ]

    operations = [
        migrations.AlterField(
            model_name='fanout',
            name='next_attempt_at',
            field=models.DateTimeField(db_default=timelines.models.ClockTimestamp()),
        ),
    ]
