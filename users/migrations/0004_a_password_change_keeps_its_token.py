from django.db import migrations


# A request that changes the password names its own token, for the transaction alone.
KEEPS = """
    CREATE OR REPLACE FUNCTION users_revoke_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM knox_authtoken
        WHERE user_id = NEW.id AND digest <> coalesce(current_setting('twit.kept_token', true), '');
        RETURN NULL;
    END $$;
"""
KEEPS_NONE = """
    CREATE OR REPLACE FUNCTION users_revoke_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM knox_authtoken WHERE user_id = NEW.id;
        RETURN NULL;
    END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('users', '0003_a_new_password_revokes_tokens'),
    ]

    operations = [
        migrations.RunSQL(KEEPS, KEEPS_NONE),
    ]
