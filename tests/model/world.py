"""What the models with two servers know: one tweet of Alyssa's, and the list of one reader, Ben.

Entries don't influence each other here, so a history that loses one of many tweets is also one that
loses the only tweet.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

NONE = 0  # no server's identity, and no rebuild's token
UNREAD = -1  # instead of an identity: the round has not read the map
NAMES = "AB"  # of the servers


class Stage(IntEnum):
    """How far the delivery of the tweet is."""

    ABSENT = 0
    PENDING = 1
    CLAIMED = 2
    MAPPED = 3  # the round has read the admission map
    PUSHED = 4
    CHECKED = 5  # the push counts, or none is needed
    DELIVERED = 6


class Row(NamedTuple):
    """The tweet's row in the outbox, and the round that has claimed it."""

    stage: Stage = Stage.ABSENT
    for_ben: bool = False  # whether ben was among the followers that were read
    admitted: int = UNREAD  # the identity that the map names for the slot
    at: int = 0  # the server that was pushed to


class Copy(NamedTuple):
    """The list and its state at one server. Without a list, `has_tweet` is None.

    The state has a token, or a version and a generation, or is absent.
    """

    has_tweet: bool | None = None
    token: int = NONE
    version: int = NONE
    generation: int = NONE

    @property
    def has_state(self) -> bool:
        """Whether the state is there."""
        return self.token != NONE or self.version != NONE


ABSENT = Copy()


class Server(NamedTuple):
    """One of the two servers."""

    copy: Copy
    identity: int
    serves: bool  # is a primary, and owns the slot as far as it knows


class Rebuild(NamedTuple):
    """A rebuild that is under way. After its snapshot it knows a version and a generation."""

    identity: int  # of the server at which it begins
    has_tweet: bool = False
    version: int = NONE
    generation: int = NONE
    token: int = NONE


class Read(NamedTuple):
    """What was read of a list that lacked the tweet after its delivery."""

    identity: int
    version: int
    generation: int


class World(NamedTuple):
    """The state of everything. Versions, generations, identities and tokens are numbers."""

    row: Row
    follows: bool  # whether ben follows alyssa
    version: int  # of ben's follows
    admitted: int  # the identity of the server that Postgres has for the slot
    generation: int
    servers: tuple[Server, Server]
    rebuilds: tuple[Rebuild, ...] = ()
    read: Read | None = None

    def with_server(self, place: int, server: Server) -> "World":
        """Return the world with another server at that place."""
        one, other = self.servers
        return self._replace(servers=(one, server) if place else (server, other))

    def with_copy(self, place: int, copy: Copy) -> "World":
        """Return the world with another copy at that server."""
        return self.with_server(place, self.servers[place]._replace(copy=copy))


Steps: TypeAlias = Iterator[tuple[str, World]]


def renumbered(world: World) -> World:
    """Return the same state with the lowest numbers.

    Numbers are only compared for equality. A version or a generation that is not the current one
    never becomes current, so all of these are one number: 1. The current ones are 2.
    """
    row, one, other, read = world.row, *world.servers, world.read
    names = {NONE: NONE, UNREAD: UNREAD}
    rebuilds = sorted(world.rebuilds) if world.rebuilds else ()
    for identity in (one.identity, other.identity, world.admitted, row.admitted):
        names.setdefault(identity, len(names))
    for user in (*rebuilds, read) if read else rebuilds:
        names.setdefault(user.identity, len(names))
    tokens = {rebuild.token: place for place, rebuild in enumerate(rebuilds, 1)}
    tokens[NONE] = NONE
    lost = len(tokens)  # the token of a rebuild that has ended

    def version(number: int) -> int:
        return number and (2 if number == world.version else 1)

    def generation(number: int) -> int:
        return number and (2 if number == world.generation else 1)

    def server(of: Server) -> Server:
        has_tweet, token, built, admission = copy = of.copy
        if copy != ABSENT:
            token = tokens.get(token, lost)
            copy = Copy(has_tweet, token, version(built), generation(admission))
        return Server(copy, names[of.identity], of.serves)

    return World(
        row if row.admitted == UNREAD else row._replace(admitted=names[row.admitted]),
        world.follows,
        2,
        names[world.admitted],
        2,
        (server(one), server(other)),
        tuple(
            Rebuild(names[at], has_tweet, version(built), generation(admission), tokens[token])
            for at, has_tweet, built, admission, token in rebuilds
        ),
        read and Read(names[read.identity], version(read.version), generation(read.generation)),
    )
