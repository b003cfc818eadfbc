"""A running Twit server that requires tokens, used over HTTP."""

from pathlib import Path

from api import limits
from tests.stack import Stack

# Prints an expired token of ben.
PREPARE = """
from datetime import timedelta
from django.contrib.auth.models import Permission
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("loaddata", "demo", verbosity=0)
User.objects.create_user("staff", is_staff=True)
User.objects.create_user("moderator").user_permissions.set(
    Permission.objects.filter(codename__in=[
        *("add_tweet", "delete_tweet"), *("view_follow", "add_follow", "delete_follow")
    ])
)
for user in User.objects.all():
    user.set_password(f"password of {user.username}")
    user.save()
print(AuthToken.objects.create(User.objects.get(username="ben"), expiry=-timedelta(seconds=1))[1])
"""
UNLIMITED = {f"TWIT_LIMIT_{name.upper()}": "off" for name in limits.DEFAULTS}


class Site(Stack):
    """A server with the demo's users, and two more. Passwords are "password of <username>".

    "staff" may use the admin. "moderator" may act for others.
    """

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        super().__init__(folder, database_url, redis_url)
        self.env |= UNLIMITED | {"TWIT_OPEN_API": "off"}
        self.expired_token = self.run(PREPARE)
        self.start_web()

    def run(self, code: str) -> str:
        """Return what the code prints in Django's shell, which imports all models."""
        return self.manage("shell", "--verbosity", "0", "--command", code)

    def login(self, username: str) -> str:
        """Return a new token for the user."""
        credentials = {"username": username, "password": f"password of {username}"}
        return str(self.client().post("/auth/login", json=credentials).json()["token"])
