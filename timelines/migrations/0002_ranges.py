import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('timelines', '0001_initial'),
    ]

    operations = [
        migrations.RemoveIndex(model_name='fanout', name='fanout_turn'),
        migrations.RemoveIndex(model_name='fanout', name='fanout_tweet'),
        migrations.AddField(
            model_name='fanout',
            name='turn',
            field=models.BigIntegerField(db_default=0, editable=False, help_text='The ranges of one fan-out have the same number.'),
        ),
        # Rows that are there already keep their order.
        migrations.RunSQL('UPDATE timelines_fanout SET turn = id', migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='fanout',
            name='turn',
            field=models.BigIntegerField(db_default=django.db.models.expressions.Func(django.db.models.expressions.Value('timelines_fanout_id_seq'), function='nextval', output_field=models.BigIntegerField()), editable=False, help_text='The ranges of one fan-out have the same number.'),
        ),
        migrations.AddField(
            model_name='fanout',
            name='up_to_follower_id',
            field=models.BigIntegerField(db_default=9223372036854775807, help_text='Followers above this id belong to other ranges of the same fan-out.', verbose_name='last follower'),
        ),
        migrations.AlterField(
            model_name='fanout',
            name='after_follower_id',
            field=models.BigIntegerField(db_default=0, help_text='Followers up to this id have been served.', verbose_name='served up to follower'),
        ),
        migrations.AddIndex(
            model_name='fanout',
            index=models.Index(condition=models.Q(('up_to_follower_id', 9223372036854775807)), fields=['next_attempt_at', 'id'], name='fanout_whole'),
        ),
        migrations.AddIndex(
            model_name='fanout',
            index=models.Index(condition=models.Q(('up_to_follower_id__lt', 9223372036854775807)), fields=['next_attempt_at', 'id'], name='fanout_range'),
        ),
        migrations.AddIndex(
            model_name='fanout',
            index=models.Index(fields=['tweet_id', 'turn'], name='fanout_tweet'),
        ),
    ]
