"""Change many lists at once: each admitted server gets its share, and all work at the same time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from backends import identity
from backends.nodes import nodes
from backends.slots import Slots
from backends.valkey import (
    ROUND_SECONDS,
    Command,
    CommandRefused,
    Connection,
    Refusal,
    Unavailable,
    check,
    packed,
)
from timelines.lists import store
from timelines.lists.admission import Admission
from timelines.lists.layout import Server
from timelines.lists.layout import layout as layout_of
from timelines.lists.packing import Change, pack
from timelines.lists.store import list_key, state_key

TEND = store.script("tend")

SENT_AT_ONCE = 65_536  # bytes, at least

ABSENT = b":0"  # the length of a list that does not exist, as a server replies

UNREADABLE = "ERR user_script"  # how errors of a script's own begin, unlike those of its commands

# Lists tended per send, which keeps the server busy for about 25 ms.
TENDED_AT_ONCE = 1_000


class Miss(NamedTuple):
    """Slots whose server did not take a change, and why."""

    slots: Slots
    error: str


class Outcome(NamedTuple):
    """What became of a change. `error` is the first error among its lists, or ""."""

    reached: int = 0  # lists
    error: str = ""
    missed: Sequence[Miss] = ()


class Share:
    """One server's share of some changes. `tags` has its followers for each change."""

    def __init__(
        self,
        server: Server,
        slots: Sequence[Slots],
        changes: Sequence[Change],
        tags: Sequence[Sequence[bytes]],
    ) -> None:
        self.server, self.slots, self.changes, self.tags = server, slots, changes, tags
        self.failure = ""
        self.outcomes = [Outcome()] * len(changes)
        self._steps = self._run() if any(tags) else iter(())

    def step(self) -> None:
        """Send everything, or on the second call read the replies. Failures are recorded."""
        try:
            next(self._steps, None)
        except Unavailable as error:
            self.failure = f"{self.server.address or 'Redis'}: {error}"

    def _run(self) -> Iterator[None]:
        server = nodes().server(self.server.address)
        # Sweeps find out when a dead server is back. A round would wait longer for it.
        with server.connection(ROUND_SECONDS, tries=False) as connection:
            connection.catch_up()
            self._send(connection)
            yield
            grown = self._read(connection)
            found = identity.parse(list(connection.replies(len(nodes().asks_identity))))
            if found != self.server.identity:
                raise Unavailable("the server that answers is not the admitted one")
            for first in range(0, len(grown), TENDED_AT_ONCE):
                _tend(connection, grown[first : first + TENDED_AT_ONCE])

    def _send(self, connection: Connection) -> None:
        """Send all commands, small ones together, and ask for the identity at the end."""
        waiting, size = [], 0
        for place, (change, tags) in enumerate(zip(self.changes, self.tags, strict=True)):
            try:
                for piece in pack(change, tags):
                    waiting.append(piece)
                    size += len(piece)
                    if size >= SENT_AT_ONCE:
                        connection.send(b"".join(waiting))
                        waiting, size = [], 0
            except ValueError as error:
                self.outcomes[place] = Outcome(error=f"ValueError: {error}")
        connection.send(b"".join([*waiting, packed(nodes().asks_identity)]))

    def _read(self, connection: Connection) -> list[int]:
        """Read the replies, which are the lists' lengths. Return whose lists are to be tended."""
        sent = [place for place, outcome in enumerate(self.outcomes) if not outcome.error]
        tags = [tag for place in sent for tag in self.tags[place]]
        replies = connection.lines(len(tags))
        kinds = {*replies}  # few, and everybody's lists have them
        refused = {reply for reply in kinds if not reply.startswith(b":")}
        for reply in refused:
            if not reply.startswith(b"-WRONGTYPE"):  # concerns the server, not the list
                raise CommandRefused(reply[1:].decode(errors="replace"))
        start = 0
        for place in sent:
            end = start + len(self.tags[place])
            self.outcomes[place] = _outcome(tags[start:end], replies[start:end], refused)
            start = end
        spacing = store.MARK_SPACING
        due = {reply for reply in kinds - refused - {ABSENT} if int(reply[1:]) % spacing == 0}
        return [*{int(tag) for tag, reply in zip(tags, replies, strict=True) if reply in due}]

    def outcome(self, place: int) -> Outcome:
        """Return what became of the change at that place."""
        if not self.failure:
            return self.outcomes[place]
        ranges = [self.changes[place].slots.common(slots) for slots in self.slots]
        return Outcome(missed=[Miss(part, self.failure) for part in ranges if part])


def apply(changes: Sequence[Change], admissions: tuple[Admission, ...]) -> list[Outcome]:
    """Make the changes, in order, to those lists that exist; return the outcome of each.

    A change is only made, and only counts, at the admitted servers. All commands are sent before
    the first reply is read. If a change's ids exceed 64 bits, only that change fails. A list whose
    length has reached a multiple of MARK_SPACING is tended: cut to the cap and marked. What was
    missed may have been made nevertheless. Raises Unavailable if each of the servers failed.
    """
    layout = layout_of(admissions)
    divided = [layout.divide(change) for change in changes]
    shares = [
        Share(server, slots, changes, [part[place] for part in divided])
        for place, (server, slots) in enumerate(layout.slots.items())
    ]
    for _ in ("send", "read"):
        for share in shares:
            share.step()
    if shares and all(share.failure for share in shares):
        raise Unavailable("; ".join(share.failure for share in shares))
    return [_sum([share.outcome(place) for share in shares]) for place in range(len(changes))]


def _sum(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        reached=sum(outcome.reached for outcome in outcomes),
        error=next((outcome.error for outcome in outcomes if outcome.error), ""),
        missed=tuple(miss for outcome in outcomes for miss in outcome.missed),
    )


def _outcome(tags: Sequence[bytes], replies: Sequence[bytes], refused: set[bytes]) -> Outcome:
    """Return what the replies to one change say."""
    if not refused:
        return Outcome(len(replies) - replies.count(ABSENT))
    wrong = [(tag, reply) for tag, reply in zip(tags, replies, strict=True) if reply in refused]
    reached = len(replies) - replies.count(ABSENT) - len(wrong)
    errors = [f"{list_key(int(tag))}: {reply[1:].decode()}" for tag, reply in wrong]
    return Outcome(reached, errors[0] if errors else "")


def _tend(connection: Connection, reader_ids: Sequence[int]) -> None:
    """Tend the lists. One with foreign bytes is deleted, and the next read rebuilds it."""
    keys = [(list_key(reader_id), state_key(reader_id)) for reader_id in reader_ids]
    connection.send(packed([connection.script(TEND, each, store.CAP) for each in keys]))
    unreadable: list[Command] = []
    for each, reply in zip(keys, list(connection.replies(len(keys))), strict=True):
        if isinstance(reply, Refusal) and reply.message.startswith(UNREADABLE):
            unreadable.append(("DEL", *each))
        else:
            check([reply])
    connection.ask(*unreadable)
