"""The names of a home timeline's two keys in Redis. Braces put both into one cluster slot."""

PREFIX, SUFFIX = "home:{", "}"


def list_key(reader_id: int) -> str:
    """Return the key of the reader's list."""
    return f"{PREFIX}{reader_id}{SUFFIX}"


def state_key(reader_id: int) -> str:
    """Return the key of the reader's state."""
    return f"{list_key(reader_id)}:state"


def reader_of(list_key: bytes) -> int:
    """Return the id of the reader whose list has that key."""
    return int(list_key[len(PREFIX) : -len(SUFFIX)])
