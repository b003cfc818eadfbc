"""Sample data, and one tweet on its way from the POST to the followers' home timelines.

`make up` runs `python -m twit.local.demo load` and, once all parts run, `show ADDRESS`.
"""

import logging
import os
import sys
import time
from datetime import timedelta

import django
import httpx

from twit.local.place import CHECKOUT, Place
from twit.local.process import StepFailed
from twit.local.terminal import say

AUTHOR = "ben"
NOTED, NOTE = "django_migrations", "make up has filled this database"
ARRIVAL_SECONDS = 30.0


def main() -> None:
    """Run the step that the command line names. Exits with a message if it fails."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # not one line per request
    try:
        match sys.argv[1:]:
            case ["load"]:
                load()
            case ["show", address]:
                show(address)
    except (StepFailed, httpx.HTTPError) as error:
        sys.exit(str(error))


def load() -> None:
    """Create the tables, load the demo fixture into an empty database, and create an admin.

    A note in the database records that `load` filled it. Later it may hold other data.
    """
    from django.core.management import call_command
    from django.db import connection, transaction
    from django.db.models import Q

    from users.models import User

    call_command("migrate", verbosity=0)
    with transaction.atomic():
        if not User.objects.exists():
            call_command("loaddata", "demo", verbosity=0)
            with connection.cursor() as cursor:
                cursor.execute(f"COMMENT ON TABLE {NOTED} IS '{NOTE}'")
        names_and_superusers = Q(username="admin") | Q(is_superuser=True)
        if not User.objects.filter(names_and_superusers).exists():
            User.objects.create_superuser("admin", password=Place(CHECKOUT).secret("admin"))


def show(address: str) -> None:
    """Post a tweet as ben, print when it reaches each follower, then print the addresses."""
    show_delivery(address)
    show_addresses(address, Place(CHECKOUT))


def show_delivery(address: str) -> None:
    """Post a tweet as ben and print when it reaches each follower. Raises StepFailed.

    Do nothing in a database that `load` did not fill.
    """
    from django.db import connection
    from knox.models import AuthToken

    from users.models import Follow, User

    with connection.cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regclass(%s))", [NOTED])
        if cursor.fetchone() != (NOTE,):
            return
    follows = Follow.objects.filter(followed__username=AUTHOR).order_by("follower_id")
    followers = dict(follows.values_list("follower_id", "follower__username")[:10])
    superuser = User.objects.filter(is_superuser=True).order_by("pk").first()
    if not followers or superuser is None:
        return
    # With token access a superuser may post as ben and read his followers' timelines.
    _, token = AuthToken.objects.create(superuser, expiry=timedelta(minutes=1))
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        base_url=address, headers=bearer, trust_env=False, timeout=ARRIVAL_SECONDS
    ) as client:
        _show_arrivals(client, follows[0].followed_id, followers)


def _show_arrivals(client: httpx.Client, author_id: int, waiting: dict[int, str]) -> None:
    for follower_id in waiting:  # only timelines that have been read get deliveries
        client.get(f"/tweets/followed/{follower_id}").raise_for_status()
    message = f"Hello from {AUTHOR}, {time.strftime('%H:%M:%S')}"
    started = time.monotonic()
    body = {"userId": author_id, "message": message}
    tweet = client.post("/tweets", json=body).raise_for_status().json()
    say(f"\n{AUTHOR} posts tweet {tweet['id']}: {message!r}")
    while waiting:
        if time.monotonic() - started > ARRIVAL_SECONDS:
            names = ", ".join(waiting.values())
            raise StepFailed(f"the tweet did not reach {names} within {ARRIVAL_SECONDS:.0f} s")
        for follower_id, name in list(waiting.items()):
            if tweet in client.get(f"/tweets/followed/{follower_id}").json():
                del waiting[follower_id]
                ms = 1000 * (time.monotonic() - started)
                say(f"  in {name}'s home timeline after {ms:.0f} ms")


def show_addresses(address: str, place: Place) -> None:
    from api import access
    from users.models import User

    password = place.secret("admin")
    admin = User.objects.filter(username="admin", is_superuser=True).first()
    is_ours = admin is not None and admin.check_password(password)
    login = f"admin, {password}" if is_ours else "one of your superusers"
    if access.is_open():
        token = bearer = ""
        say("\nThe API is OPEN: anybody on this machine may post and delete as anybody.")
        say("To require tokens, start it with `TWIT_OPEN_API=off make up`.")
    else:
        token = f"  TOKEN=$(.venv/bin/python manage.py create_token {AUTHOR})\n"
        bearer = ' -H "Authorization: Bearer $TOKEN"'
    ports = (os.environ.get(name) for name in ("TWIT_METRICS_WEB", "TWIT_METRICS_WORKER"))
    metrics = ", ".join(f"http://127.0.0.1:{port}/metrics" for port in ports)
    say(
        f"""
Twit is up.
  Page     {address}/
  API      {address}/tweets
  Docs     {address}/docs
  Admin    {address}/admin/  ({login})
  Logs     {place.logs}
  Metrics  {metrics}

Try:
{token}  curl -s {address}/tweets
  curl -s {address}/tweets -d userId=1 -d message=hello{bearer}
  curl -s '{address}/tweets/followed/1?limit=5'{bearer}

Ctrl-C stops it. Data stays in {place.root}."""
    )


if __name__ == "__main__":
    main()
