"""Values that the schema can't describe: an existing author and an unused idempotency key."""

import os
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import HookContext


@schemathesis.hook
def map_case(context: HookContext, case: Any) -> Any:
    """Give a valid new tweet an existing author and a unique idempotency key."""
    if case.meta.generation.mode.is_positive:
        if isinstance(case.body, dict) and "userId" in case.body:
            case.body["userId"] = os.environ["AUTHOR_ID"]
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = str(uuid4())
    return case
