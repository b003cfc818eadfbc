from django.db import migrations


# A transaction that inserts tweets is given its transaction id before it takes an id from the
# sequence. tweets/settled.py relies on that. The sequence must not have a cache: a session would
# take ids ahead, and use them after higher ones.
TRIGGER = """
    CREATE FUNCTION tweets_take_transaction_id() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_current_xact_id();
        RETURN NULL;
    END $$;

    CREATE TRIGGER tweets_transaction_id_first BEFORE INSERT ON tweets_tweet
    FOR EACH STATEMENT EXECUTE FUNCTION tweets_take_transaction_id();
"""
NO_TRIGGER = """
    DROP TRIGGER tweets_transaction_id_first ON tweets_tweet;
    DROP FUNCTION tweets_take_transaction_id;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tweets', '0003_idempotency_key_age'),
    ]

    operations = [
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
    ]
