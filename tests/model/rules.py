"""The guards of the models with two servers, as conditions on their worlds."""

from typing import NamedTuple

from tests.model.guards import Guard
from tests.model.world import NONE, Read, Server, World


class Rules(NamedTuple):
    """The protocol without some of its guards."""

    without: frozenset[Guard]

    def has(self, guard: Guard) -> bool:
        """Return whether the protocol has the guard."""
        return guard not in self.without

    def identity(self, server: Server) -> int:
        """Return the identity that the server gives when it is asked."""
        knows_role = self.has(Guard.ROLE) and self.has(Guard.FRESH_IDENTITY)
        return server.identity if server.serves or not knows_role else NONE

    def generation(self, world: World, identity: int) -> int | None:
        """Return the generation of the slot's lists, or None if another server is admitted."""
        if self.has(Guard.MAP_BY_SLOT):
            return world.generation if identity == world.admitted != NONE else None
        # Both servers are admitted, each with a generation of its own.
        identities = [server.identity for server in world.servers]
        return identities.index(identity) + 1 if identity in identities else None

    def counts(self, world: World) -> bool:
        """Return whether the server that was pushed to says that it is the admitted one."""
        if not self.has(Guard.CHECK) or not self.has(Guard.MAP_BY_SLOT):
            return True
        return self.identity(world.servers[world.row.at]) == world.row.admitted

    def is_believed(self, world: World, read: Read) -> bool:
        """Return whether a page is built from what was read."""
        generation = self.generation(world, read.identity)
        if not self.has(Guard.READER_CHECK):
            generation = world.generation
        return (
            generation is not None
            and (read.generation == generation or not self.has(Guard.GENERATION))
            and (read.version == world.version or not self.has(Guard.VERSION))
        )
