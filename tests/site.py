"""A running Twit that asks for tokens, seen from outside."""

from pathlib import Path

import httpx

from tests.stack import Stack

# Sets passwords, makes a member of staff, and lets a token expire.
PREPARE = """
from datetime import timedelta
User.objects.create_user("staff", is_staff=True)
for user in User.objects.all():
    user.set_password(f"password of {user.username}")
    user.save()
print(AuthToken.objects.create(User.objects.get(username="ben"), expiry=-timedelta(seconds=1))[1])
"""
UNLIMITED = {f"TWIT_LIMIT_{name}": "off" for name in ("POSTS", "REQUESTS", "LOGINS")}


class Site(Stack):
    """The demo's users and one called staff; their passwords are "password of <name>"."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        super().__init__(folder, database_url, redis_url)
        self.env |= UNLIMITED | {"TWIT_OPEN_API": "off"}
        self.manage("migrate", "--verbosity", "0")
        self.manage("loaddata", "demo", "--verbosity", "0")
        self.expired_token = self.run(PREPARE)
        self.start_web()

    def run(self, code: str) -> str:
        """What Python code prints in Django's shell, which knows all models."""
        return self.manage("shell", "--verbosity", "0", "--command", code)

    def login(self, username: str) -> str:
        """A new token of that user."""
        credentials = {"username": username, "password": f"password of {username}"}
        return str(self.client().post("/auth/login", json=credentials).json()["token"])

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """A client with that token, until the site is stopped."""
        if token:
            headers["Authorization"] = f"Token {token}"
        return self.clients.enter_context(
            httpx.Client(base_url=self.address, headers=headers, timeout=30, trust_env=False)
        )
