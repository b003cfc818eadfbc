"""Lua scripts for Redis or Valkey."""

from hashlib import sha1


class Script:
    """A Lua script. Each connection loads it into its server before the first use."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
