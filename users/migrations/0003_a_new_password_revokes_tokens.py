from django.db import migrations


# However the password was changed: in the admin, by the ORM, or with SQL. A rehash of the same
# password also counts as a change. Django rehashes at a login after the parameters of its hasher
# have changed; the user's other clients then have to sign in again.
TRIGGER = """
    CREATE FUNCTION users_revoke_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM knox_authtoken WHERE user_id = NEW.id;
        RETURN NULL;
    END $$;

    CREATE TRIGGER users_password_changed AFTER UPDATE ON users_user
    FOR EACH ROW WHEN (OLD.password <> NEW.password)
    EXECUTE FUNCTION users_revoke_tokens();
"""
NO_TRIGGER = """
    DROP TRIGGER users_password_changed ON users_user;
    DROP FUNCTION users_revoke_tokens;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('users', '0002_follows_version'),
        ('knox', '0009_extend_authtoken_field'),
    ]

    operations = [
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
    ]
