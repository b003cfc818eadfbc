"""Values that the schema can't describe: ids of existing users, a right password, unused names."""

import os
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import HookContext


@schemathesis.hook
def before_call(context: HookContext, case: Any, kwargs: Any) -> None:
    """Give a valid request an existing author, right passwords, and names and keys of its own."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict):
        for name, value in valid_values().items():
            if name in case.body:
                case.body[name] = value
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid4())
    if "followed_id" in case.path_parameters:  # nobody can follow themselves
        case.path_parameters |= {"user_id": os.environ["AUTHOR_ID"], "followed_id": "2"}


def valid_values() -> dict[str, str]:
    """Return a valid value for each name in a body. A change keeps the password."""
    password = os.environ["PASSWORD"]
    return {
        "userId": os.environ["AUTHOR_ID"],
        "username": uuid4().hex,
        **dict.fromkeys(("password", "currentPassword", "newPassword"), password),
    }
