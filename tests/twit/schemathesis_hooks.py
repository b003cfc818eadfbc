"""What the schema can't say: which users there are, and that a new tweet takes a new key."""

import os
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import HookContext


@schemathesis.hook
def map_case(context: HookContext, case: Any) -> Any:
    """Give a valid tweet an author who is there, and a key of its own."""
    if case.meta.generation.mode.is_positive:
        if isinstance(case.body, dict) and "userId" in case.body:
            case.body["userId"] = os.environ["AUTHOR_ID"]
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = str(uuid4())
    return case
