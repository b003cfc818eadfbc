"""The steps of a rebuild: begin, snapshot, finish."""

from tests.model.guards import Guard
from tests.model.rules import Rules
from tests.model.world import NAMES, NONE, Copy, Rebuild, Stage, Steps, World


def rebuild_steps(world: World, rules: Rules, most: int) -> Steps:
    """Yield what rebuilds can do, of which at most `most` run at once.

    Another rebuild does not block one from beginning, as it does not once its time is over.
    """
    if len(world.rebuilds) < most:
        yield from _starts(world, rules)
    for place, rebuild in enumerate(world.rebuilds):
        others = world.rebuilds[:place] + world.rebuilds[place + 1 :]
        ended = world._replace(rebuilds=others)
        yield "a rebuild dies", ended
        if rebuild.version == NONE:
            yield from _snapshot(ended, rules, rebuild)
        elif rebuild.token == NONE:
            yield from _begins(ended, rebuild)
        else:
            yield from _finishes(ended, rules, rebuild)


def _starts(world: World, rules: Rules) -> Steps:
    for place, server in enumerate(world.servers):
        if server.serves:
            rebuild = Rebuild(server.identity)
            if rules.has(Guard.BEGIN_FIRST):
                yield _begun(world, place, rebuild)
            else:
                name = f"a rebuild asks {NAMES[place]} for its identity"
                yield name, world._replace(rebuilds=(*world.rebuilds, rebuild))


def _begins(world: World, rebuild: Rebuild) -> Steps:
    for place, server in enumerate(world.servers):
        if server.serves:
            yield _begun(world, place, rebuild)


def _begun(world: World, place: int, rebuild: Rebuild) -> tuple[str, World]:
    token = len(world.rebuilds) + 3  # unused: renumbered ones are lower
    begun = world._replace(rebuilds=(*world.rebuilds, rebuild._replace(token=token)))
    name = f"a rebuild begins an empty list at {NAMES[place]}"
    return name, begun.with_copy(place, Copy(has_tweet=False, token=token))


def _snapshot(world: World, rules: Rules, rebuild: Rebuild) -> Steps:
    generation = rules.generation(world, rebuild.identity)
    if generation is not None:
        has_tweet = world.row.stage >= Stage.PENDING and world.follows
        read = rebuild._replace(has_tweet=has_tweet, version=world.version, generation=generation)
        name = f"its snapshot of Postgres {'has' if has_tweet else 'lacks'} the tweet"
        yield name, world._replace(rebuilds=(*world.rebuilds, read))


def _finishes(world: World, rules: Rules, rebuild: Rebuild) -> Steps:
    for place, server in enumerate(world.servers):
        copy = server.copy
        has_token = copy.token == rebuild.token if rules.has(Guard.TOKEN) else copy.token != NONE
        has_list = copy.has_tweet is not None or not rules.has(Guard.LIST_EXISTS)
        if server.serves and has_token and has_list:
            of_snapshot = rules.has(Guard.VERSION_OF_SNAPSHOT)
            is_old = rules.has(Guard.GENERATION_OF_SNAPSHOT)
            built = Copy(
                has_tweet=bool(copy.has_tweet) or rebuild.has_tweet,
                version=rebuild.version if of_snapshot else world.version,
                generation=rebuild.generation if is_old else world.generation,
            )
            yield f"the rebuild finishes at {NAMES[place]}", world.with_copy(place, built)
