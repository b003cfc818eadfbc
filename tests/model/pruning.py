"""What can't matter any more. Leaving it out makes the models small enough to be exhausted."""

from tests.model.guards import Guard
from tests.model.rules import Rules
from tests.model.world import ABSENT, NONE, Copy, Read, Rebuild, Row, Server, Stage, World


class Pruning:
    """Which reductions the guards allow. Versions, generations, identities, tokens don't recur."""

    def __init__(self, rules: Rules) -> None:
        has = rules.has
        self.rules = rules
        self.by_version = has(Guard.VERSION)
        self.by_generation = has(Guard.GENERATION) and has(Guard.MAP_BY_SLOT)
        self.by_token, self.by_list = has(Guard.TOKEN), has(Guard.LIST_EXISTS)
        self.by_snapshot = has(Guard.VERSION_OF_SNAPSHOT) and has(Guard.GENERATION_OF_SNAPSHOT)
        self.by_check = has(Guard.CHECK) and has(Guard.MAP_BY_SLOT)
        self.by_reader = (
            self.by_generation and has(Guard.READER_CHECK) and has(Guard.NEW_GENERATION)
        )

    def pruned(self, world: World) -> World:
        """Return the world without what some guard makes useless for ever.

        A list of an old version or generation is never believed again, and is like an absent one.
        A rebuild that has lost its token, or its server, writes nothing. A round that has pushed to
        another server than the admitted one can only fail.
        """
        rebuilds = tuple(r for r in world.rebuilds if self._may_finish(world, r))
        tokens = {rebuild.token for rebuild in rebuilds}
        one, other = (self._useful(world, server, tokens) for server in world.servers)
        if self.by_token:
            held = {one.copy.token, other.copy.token, NONE}
            rebuilds = tuple(rebuild for rebuild in rebuilds if rebuild.token in held)
        row, read = world.row, world.read
        if row.stage == Stage.PUSHED and self.by_check and not self.rules.counts(world):
            row = Row(Stage.PENDING)
        if read and (
            self._is_stale(world, read) or (self.by_reader and read.identity != world.admitted)
        ):
            read = None  # if its server is admitted later, that has another generation
        follows, version, admitted, generation = world[1:5]
        return World(row, follows, version, admitted, generation, (one, other), rebuilds, read)

    def _is_stale(self, world: World, of: Copy | Rebuild | Read) -> bool:
        return (self.by_version and of.version not in {NONE, world.version}) or (
            self.by_generation and of.generation not in {NONE, world.generation}
        )

    def _may_finish(self, world: World, rebuild: Rebuild) -> bool:
        if rebuild.version != NONE:
            return not (self.by_snapshot and self._is_stale(world, rebuild))
        identities = (world.admitted, *(server.identity for server in world.servers))
        return rebuild.identity in identities

    def _useful(self, world: World, server: Server, tokens: set[int]) -> Server:
        copy = server.copy
        if copy == ABSENT:
            return server
        is_useless = (
            (self.by_list and copy.has_tweet is None)
            or not copy.has_state
            or (self.by_token and copy.token and copy.token not in tokens)
            or self._is_stale(world, copy)
        )
        return Server(ABSENT, server.identity, server.serves) if is_useless else server
