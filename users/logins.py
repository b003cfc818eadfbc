"""Logins by password, for the API and for the login forms, within limits.

Failed logins are limited per address and per account. A login counts before its password is checked
and is forgiven if the password is right, so parallel guesses don't evade the limits. The caller
counts the address first. A login that is refused for its address never touches the account.

A stranger can't lock the owner of an account out: an account over its limit still accepts logins
from addresses that have signed in to it during the last 30 days, within their own limits. Redis
remembers these addresses. This is best effort: Redis may lose them, and somebody who shares the
owner's address can use up its limit.

Successful logins are limited per account too, because a password check is expensive: Argon2 takes
100 MiB for a tenth of a second. A process checks one password at a time.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.hashers import check_password
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from api import limits, logs
from api.access import log
from api.addresses import client_address, counted_address
from api.errors import RETRY_AFTER_SECONDS
from backends import metrics, valkey
from backends.script import Script
from backends.servers import server
from users.models import User

_Found = TypeVar("_Found")

KNOWN_SECONDS = 30 * 24 * 3600
WAIT_SECONDS = 1.0  # for the password check of another login
# KEYS[1]: a counter. A window that has ended meanwhile must not begin below 0.
FORGIVE = Script(
    "if tonumber(redis.call('GET', KEYS[1]) or 0) > 0 then redis.call('DECR', KEYS[1]) end"
)
# If more logins could wait, a flood of them would occupy all threads of the process.
_in_line = threading.BoundedSemaphore(2)  # one whose password is checked, and the next
_checking = threading.Lock()


class Busy(APIException):
    """A 503: the passwords of other logins are being checked."""

    status_code = 503
    default_detail = "Too many logins at this moment. Please try again."
    wait = RETRY_AFTER_SECONDS  # DRF's exception handler sends it as Retry-After


class Attempt:
    """A login to an account from an address, with the Redis keys that count and remember it."""

    def __init__(self, address: str, username: str) -> None:
        # Hashed, because a name may be any text.
        account = hashlib.sha256(username.encode("utf-8", "replace")).hexdigest()
        self.failures = [
            limits.key(limits.LOGINS, "address", address),
            limits.key(limits.LOGINS, "account", account),
        ]
        self.successes = limits.key(limits.LOGINS, "success", account)
        self.known = f"login:{account}:{address}"

    def count(self) -> limits.Usage | None:
        """Count it against its account. Return the usage of successful logins, with this one.

        Returns None without a limit or without Redis. Raises Exceeded for too many failed logins.
        """
        if (limit := limits.rate(limits.LOGINS)) is None:
            return None
        commands = limits.counting(self.failures[1], limit[1])
        commands += [("GET", self.successes), ("PTTL", self.successes), ("EXISTS", self.known)]
        try:
            with server("LIMITS_URL").connection() as connection:
                replies = connection.ask(*commands)
        except valkey.Unavailable:
            return None
        failed, _, failed_left, succeeded, succeeded_left, is_known = cast("list[int]", replies)
        if not is_known:
            limits.Usage.of(limits.LOGINS, limit, failed, failed_left).check()
        return limits.Usage.of(limits.LOGINS, limit, int(succeeded or 0) + 1, succeeded_left)

    def end(self, *, is_right: bool) -> None:
        """Forgive the attempt. If the password was right, count that and remember the address."""
        if (limit := limits.rate(limits.LOGINS)) is None:
            return
        with suppress(valkey.Unavailable), server("LIMITS_URL").connection() as connection:
            commands = [connection.script(FORGIVE, [counter]) for counter in self.failures]
            if is_right:
                commands += limits.counting(self.successes, limit[1])
                commands.append(("SET", self.known, 1, "EX", KNOWN_SECONDS))
            connection.ask(*commands)


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other password is being checked. Raises Busy."""
    if not _in_line.acquire(blocking=False):
        raise Busy
    try:
        if not _checking.acquire(timeout=WAIT_SECONDS):
            raise Busy
        try:
            yield
        finally:
            _checking.release()
    finally:
        _in_line.release()


@sensitive_variables("password")
def sign_in(request: HttpRequest, username: str, password: str) -> User | None:
    """Return the active user of that name and password, or None. Raises Exceeded, Busy."""
    user = _within_limits(
        request, username, lambda: authenticate(request, username=username, password=password)
    )
    if user:
        logs.name_user(user.pk)
    return user


@sensitive_variables("password")
def confirm(request: Request, user: User, password: str) -> bool:
    """Return whether the password is the user's. Counts as a login. Raises Exceeded, Busy.

    It never rehashes the password, which would revoke the user's tokens.
    """
    return _within_limits(request, user.username, lambda: check_password(password, user.password))


def _within_limits(
    request: HttpRequest | Request, username: str, check: Callable[[], _Found]
) -> _Found:
    """Return what `check` returns, which is true if the password is right."""
    attempt = Attempt(counted_address(request), username)
    successes = attempt.count()
    try:
        if successes:
            successes.check()
        with turn():
            found = check()
    except Exception:  # no password was checked
        attempt.end(is_right=False)
        raise
    if found:
        attempt.end(is_right=True)
    else:
        login = {"username": username, "address": str(client_address(request) or "unknown")}
        log.warning("Failed login as %(username)r from %(address)s", login, extra=login)
        metrics.FAILED_LOGINS.inc()
    return found


class LimitedForm(AuthenticationForm):
    """Django's login form, with the limits of logins."""

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Check the credentials. Raises ValidationError if they are wrong, or for a limit."""
        username = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if username is None or not password:  # the fields' own errors say so
            return self.cleaned_data
        assert self.request  # Django's login views pass it
        try:
            if usage := limits.count(limits.LOGINS, self.request):
                usage.check()
            self.user_cache = sign_in(self.request, username, password)
        except limits.Exceeded as exceeded:
            seconds = exceeded.usage.seconds_left
            raise forms.ValidationError(f"Too many logins: wait {seconds} seconds.") from exceeded
        except Busy as busy:
            raise forms.ValidationError(str(busy.detail)) from busy
        if self.user_cache is None:
            raise self.get_invalid_login_error()
        self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data


class LimitedAdminForm(LimitedForm, AdminAuthenticationForm):
    """The login form of the admin, which accepts only staff, with the same limits."""
