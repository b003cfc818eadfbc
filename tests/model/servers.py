"""Two servers: a primary with its replica, or two primaries between which a slot moves."""

from abc import abstractmethod

from tests.model.engine import Model
from tests.model.guards import Guard
from tests.model.pruning import Pruning
from tests.model.rebuilds import rebuild_steps
from tests.model.rounds import round_steps
from tests.model.rules import Rules
from tests.model.world import NAMES, NONE, Copy, Read, Row, Server, Stage, Steps, World, renumbered

UNUSED = 100  # an identity that no server has had; it is renumbered at once


class Servers(Model[World]):
    """Servers A and B. `size` is the number of rebuilds at once.

    Two servers hold at most two tokens, so more than two rebuilds add no states.
    """

    size = 2
    replicas_answer: bool  # whether a server that does not serve the slot can be read

    def __init__(self, *without: Guard, size: int | None = None) -> None:
        super().__init__(*without, size=size)
        self.rules = Rules(self.without)
        self.pruned = Pruning(self.rules).pruned

    @abstractmethod
    def server_steps(self, world: World) -> Steps:
        """Yield what can happen to the servers themselves."""

    def reduced(self, state: World) -> World:
        """Return the world without what can't matter, in its lowest numbers."""
        return renumbered(self.pruned(state))

    def is_wrong(self, state: World) -> bool:
        """Return whether ben believes the list that he has read, which lacks the tweet."""
        read = state.read
        return bool(read and state.follows and self.rules.is_believed(state, read))

    def steps(self, state: World) -> Steps:
        """Yield what ben, rounds, rebuilds, admissions and the servers can do."""
        verb = "unfollows" if state.follows else "follows"
        after = state._replace(follows=not state.follows, version=state.version + 1)
        yield f"ben {verb} alyssa", after
        yield from round_steps(state, self.rules)
        yield from self.server_steps(state)
        if self.has(Guard.MAP_BY_SLOT):
            yield from self._admissions(state)
        yield from rebuild_steps(state, self.rules, self.size)
        for place, server in enumerate(state.servers):
            name = NAMES[place]
            copy = server.copy
            if copy.has_tweet is not None:
                evicted = state.with_copy(place, copy._replace(has_tweet=None))
                yield f"{name} evicts the list", evicted
            if copy.has_state:
                yield f"{name} evicts the state", state.with_copy(place, Copy(copy.has_tweet))
            if server.serves or self.replicas_answer:
                yield from self._reads(state, place)

    def _admissions(self, world: World) -> Steps:
        generation = world.generation + self.has(Guard.NEW_GENERATION)
        for place, server in enumerate(world.servers):
            if server.serves and server.identity != world.admitted:
                admitted = world._replace(admitted=server.identity, generation=generation)
                yield f"{NAMES[place]} is admitted", admitted
        if world.admitted != NONE:
            yield "no server is admitted", world._replace(admitted=NONE, generation=generation)

    def _reads(self, world: World, place: int) -> Steps:
        server = world.servers[place]
        copy = server.copy
        if world.row.stage == Stage.DELIVERED and copy.has_tweet is False and copy.version:
            read = Read(self.rules.identity(server), copy.version, copy.generation)
            yield f"ben reads the list at {NAMES[place]}", world._replace(read=read)


class Failover(Servers):
    """A is the primary, B its replica. Either may be promoted or demoted at any time.

    A server that restarts is demoted and promoted. One that restarts from old data is a promoted
    replica that is as old.
    """

    necessary = {
        **dict.fromkeys((Guard.MAP_AFTER_CLAIM, Guard.CHECK, Guard.NEW_GENERATION), 1),
        **dict.fromkeys((Guard.LIST_EXISTS, Guard.BEGIN_FIRST), 1),
        **dict.fromkeys((Guard.VERSION_OF_SNAPSHOT, Guard.GENERATION_OF_SNAPSHOT), 1),
        **dict.fromkeys((Guard.VERSION, Guard.GENERATION, Guard.READER_CHECK), 1),
        **dict.fromkeys((Guard.ROLE, Guard.FRESH_IDENTITY), 1),
        Guard.TOKEN: 2,
    }
    replicas_answer = True

    def start(self) -> World:
        """Return the world in which ben follows alyssa, and A is admitted."""
        servers = Server(Copy(), 1, serves=True), Server(Copy(), NONE, serves=False)
        return World(Row(), True, 2, 1, 2, servers)

    def server_steps(self, world: World) -> Steps:
        """Yield replication, promotion and demotion."""
        for place, server in enumerate(world.servers):
            name, primary = NAMES[place], world.servers[1 - place]
            if not server.serves:
                promoted = Server(server.copy, UNUSED, serves=True)
                yield f"{name} is promoted", world.with_server(place, promoted)
                if primary.serves:
                    identity = server.identity if self.has(Guard.ROLE) else primary.identity
                    same = Server(primary.copy, identity, serves=False)
                    yield f"{name} catches up with its primary", world.with_server(place, same)
            else:
                identity = NONE if self.has(Guard.FRESH_IDENTITY) else server.identity
                demoted = Server(server.copy, identity, serves=False)
                yield f"{name} is demoted", world.with_server(place, demoted)


class Moving(Servers):
    """A and B are primaries of a cluster. A slot moves between them, again and again.

    The server that had the slot goes on serving it until it learns of the move. If it restarts, it
    may serve the slot again, with its old lists.
    """

    # The guards of Failover are necessary here too.
    necessary = {Guard.MAP_BY_SLOT: 1, Guard.EPOCH: 1}
    replicas_answer = False

    def start(self) -> World:
        """Return the world in which ben follows alyssa, and A has the slot and is admitted."""
        servers = Server(Copy(), 1, serves=True), Server(Copy(), 2, serves=False)
        return World(Row(), True, 2, 1, 2, servers)

    def server_steps(self, world: World) -> Steps:
        """Yield a move, and the moment when a server learns of it."""
        for place, server in enumerate(world.servers):
            name, other = NAMES[place], world.servers[1 - place]
            restarted = Server(server.copy, UNUSED, serves=True)
            yield (
                f"{name} restarts, with the slot and its lists",
                world.with_server(place, restarted),
            )
            if server.serves and not other.serves:
                identity = UNUSED if self.has(Guard.EPOCH) else other.identity
                moved = world.with_server(1 - place, Server(server.copy, identity, serves=True))
                yield f"the slot moves from {name} to {NAMES[1 - place]}", moved
            if server.serves and other.serves:
                left = Server(server.copy, server.identity, serves=False)
                yield f"{name} learns that it has lost the slot", world.with_server(place, left)
