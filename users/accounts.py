"""Creating users, and changing passwords.

Passwords are hashed in turns, like those of logins, and outside of transactions.
"""

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as InvalidModel
from django.db import IntegrityError, connection, transaction
from django.views.decorators.debug import sensitive_variables
from psycopg.errors import UniqueViolation
from rest_framework.exceptions import ValidationError

from api.access import log
from users import logins
from users.models import User

NAME_IS_UNIQUE = "users_user_username_key"
TAKEN = "A user with that username already exists."  # Django's words


@sensitive_variables("password")
def password_problems(password: str, user: User) -> list[str]:
    """Return what AUTH_PASSWORD_VALIDATORS object to in a user's new password."""
    try:
        validate_password(password, user)
    except InvalidModel as problems:
        return problems.messages
    return []


@sensitive_variables("password")
def check_new(username: str, password: str | None) -> None:
    """Raise ValidationError unless a user of that normalized name and password can be created."""
    user = User(username=username)
    problems: dict[str, list[str]] = {}
    try:
        user.full_clean(exclude=["password"])
    except InvalidModel as invalid:
        problems |= invalid.message_dict
    if password is not None and (objections := password_problems(password, user)):
        problems["password"] = objections
    if problems:
        raise ValidationError(problems)


@sensitive_variables("password")
def create(username: str, password: str | None = None) -> User:
    """Store and return a user, who can't log in without a password.

    The arguments have passed `check_new`. Raises ValidationError if the name has been taken since,
    and Busy.
    """
    with logins.turn():
        user = User(username=username, password=make_password(password))
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        cause = error.__cause__
        if isinstance(cause, UniqueViolation) and cause.diag.constraint_name == NAME_IS_UNIQUE:
            raise ValidationError({"username": [TAKEN]}) from None
        raise
    return user


@sensitive_variables("password")
def change_password(user: User, password: str, *, kept_token: str) -> bool:
    """Store a new password and revoke the user's tokens, except the one with the kept digest.

    Return False, and change nothing, if the password has changed since `user` was read.
    Raises Busy.
    """
    with logins.turn():
        encoded = make_password(password)
    with transaction.atomic(), connection.cursor() as cursor:
        # The trigger that revokes tokens reads this. Restoring the token afterwards could restore
        # one that was revoked in the meantime.
        cursor.execute("SELECT set_config('twit.kept_token', %s, true)", [kept_token])
        unchanged = User.objects.filter(pk=user.pk, password=user.password)
        is_changed = unchanged.update(password=encoded) == 1
    user.password = encoded
    if is_changed:
        log.info("User %s changed their password, which revoked their other tokens", user.pk)
    return is_changed
