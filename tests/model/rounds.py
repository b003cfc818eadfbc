"""The steps of a round: claim, read the admission map, push, check, count."""

from tests.model.guards import Guard
from tests.model.rules import Rules
from tests.model.world import NAMES, NONE, UNREAD, Row, Stage, Steps, World


def round_steps(world: World, rules: Rules) -> Steps:
    """Yield what can happen to the tweet's row."""
    row = world.row
    reads_map_first = not rules.has(Guard.MAP_AFTER_CLAIM)
    if row.stage == Stage.ABSENT:
        yield "alyssa posts", world._replace(row=row._replace(stage=Stage.PENDING))
    if row.stage in {Stage.ABSENT, Stage.PENDING} and reads_map_first:
        yield _reads_the_map(world, row.stage)
    if row.stage == Stage.PENDING and not (reads_map_first and row.admitted == UNREAD):
        stage = Stage.MAPPED if reads_map_first else Stage.CLAIMED
        claimed = row._replace(stage=stage, for_ben=world.follows)
        yield "a round claims the row", world._replace(row=claimed)
    if row.stage == Stage.CLAIMED:
        yield _reads_the_map(world, Stage.MAPPED)
    if row.stage == Stage.MAPPED:
        yield from _pushes(world)
    if row.stage == Stage.PUSHED and rules.counts(world):
        checked = world._replace(row=Row(Stage.CHECKED))
        yield f"the push to {NAMES[row.at]} counts", checked
    if row.stage == Stage.CHECKED:
        delivered = world._replace(row=Row(Stage.DELIVERED))
        yield "the round commits, so the tweet is delivered", delivered
    if Stage.CLAIMED <= row.stage <= Stage.CHECKED:
        yield "the round fails", world._replace(row=Row(Stage.PENDING))


def _reads_the_map(world: World, stage: Stage) -> tuple[str, World]:
    row = world.row._replace(stage=stage, admitted=world.admitted)
    return "the round reads the admission map", world._replace(row=row)


def _pushes(world: World) -> Steps:
    row = world.row
    if row.admitted == NONE:
        yield "no server is admitted, so no push is needed", world._replace(row=Row(Stage.CHECKED))
        return
    for place, server in enumerate(world.servers):
        if server.serves:
            pushed = world._replace(row=row._replace(stage=Stage.PUSHED, at=place))
            copy = server.copy
            if row.for_ben and copy.has_tweet is not None:
                pushed = pushed.with_copy(place, copy._replace(has_tweet=True))
            yield f"the round pushes to {NAMES[place]}", pushed
