"""Sentences about what was found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from api.fields import MAX_ID
from api.paging import DEFAULT_LIMIT
from backends.slots import ALL, Slots
from timelines.explaining.facts import MOST_TWEETS, ListFacts, TweetFacts
from timelines.explaining.reasons import Reason, Verdict
from timelines.lists import store
from timelines.models import FanOut, Flag

LAST_PAGE = MOST_TWEETS // DEFAULT_LIMIT  # that is looked through
NOT_AN_ID = "{!r} is not the id of a tweet"
SENTENCES = {
    Reason.LISTED: "it comes from the list.",
    Reason.FLAGGED: "its delivery has not reached the list yet, but it is flagged.",
    Reason.BELOW_FLOOR: "it comes from Postgres, because the list is complete only above "
    "{floor}. The list has it too.",
    Reason.TRIMMED: "it comes from Postgres. The list is complete only above {floor}, and does "
    "not have it.",
    Reason.NOT_BELIEVED: "it comes from Postgres, because the list is not believed: {doubt}.",
    Reason.ABSENT: "it comes from Postgres, because there is no list.",
    Reason.UNREACHABLE: "it comes from Postgres, because Redis failed: {failure}.",
    Reason.DELETED: "there is no such tweet. It was deleted, or was never stored.",
    Reason.NOT_FOLLOWED: "{reader} does not follow {author}.",
    Reason.UNFOLLOWED: "{reader} does not follow {author} any more. The list still has it.",
    Reason.FAILING: "its delivery has failed {row.attempts} times in a row: {row.last_error}. "
    "The next attempt is at {due}.",
    Reason.UNDER_WAY: "its delivery is under way. Followers above user {row.after_follower_id} "
    "are still to be reached, and {reader} is user {id}.",
    Reason.PENDING: "its delivery has not begun. It has been due since {due}.",
    Reason.MISSING: "it was delivered, but the list lacks it. `verify_timelines {reader} "
    "--repair` rebuilds the list.",
    Reason.CHANGED: "something has just changed. Try again.",
}


class Fact(NamedTuple):
    """One line of an explanation."""

    name: str
    text: str


def sentence(found: Verdict, facts: ListFacts, tweet: TweetFacts) -> str:
    """Return where the tweet is shown, or that it is not, and why."""
    where = "Not shown"
    if found.is_shown:
        where = f"Shown on page {found.page}" if found.page else f"Shown below page {LAST_PAGE}"
    row = next(iter(tweet.deliveries_to(facts)), None)
    why = SENTENCES[found.reason].format(
        reader=facts.reader.username,
        id=facts.reader.pk,
        author=tweet.tweet.author.username if tweet.tweet else "",
        floor=facts.inspected.listed.floor if facts.inspected else 0,
        doubt=facts.doubt,
        failure=facts.failure,
        row=row,
        due=row and _time(row.next_attempt_at),
    )
    return f"{where}: {why}"


def state(facts: ListFacts) -> str:
    """Return whether the list is there and believed, and why not."""
    if facts.failure:
        return f"Redis failed: {facts.failure}. Pages come from Postgres."
    if facts.inspected is None:
        return "There is no list. It was never read, has expired, or was dropped. A read builds it."
    if facts.doubt:
        return f"The list is not believed: {facts.doubt}. A read rebuilds it."
    return "The list is believed."


def about_list(facts: ListFacts) -> Iterator[Fact]:
    """Yield what is known of the list."""
    yield Fact("list", state(facts))
    admitted = "no server is admitted"
    if facts.admission:
        address = facts.admission.address or "the server of REDIS_URL"
        admitted = f"{address} is admitted, generation {facts.admission.generation}"
    yield Fact("server", f"slot {facts.slot}: {admitted}")
    yield Fact("follows", _version(facts.follows_version))
    if not facts.inspected:
        return
    listed, elements = facts.inspected.listed, facts.inspected.elements
    yield Fact("built at", f"version {listed.version}, generation {listed.generation}")
    yield Fact("answered by", listed.source.identity or "a replica")
    yield Fact("floor", f"{listed.floor}: complete above this id")
    entries = len(listed.tweet_ids)
    repeated = entries - len({*listed.tweet_ids})
    yield Fact(
        "length",
        f"{len(elements)} elements: {entries} entries ({repeated} repeated), "
        f"{facts.inspected.marks} marks",
    )
    yield Fact("memory", f"{facts.inspected.memory_bytes:,} bytes")
    yield Fact("expiry", _expiry(facts.inspected.expires_in_seconds))


def about_tweet(facts: ListFacts, found: TweetFacts) -> Iterator[Fact]:
    """Yield what is known of the tweet and its delivery."""
    if found.tweet is None:
        yield Fact("tweet", "none with this id")
    else:
        author = f"{found.tweet.author.username} (user {found.tweet.author_id})"
        yield Fact("tweet", f"by {author}, stored at {_time(found.tweet.created_at)}")
        since = f"since {_time(found.followed_at)}" if found.followed_at else "no"
        yield Fact("followed", since)
    if facts.inspected:
        places = ", ".join(map(str, facts.inspected.places(found.tweet_id)))
        whole = f"of {len(facts.inspected.elements)}, from the head"
        yield Fact("in the list", f"element {places} {whole}" if places else "no")
    yield Fact("flag", _flag(found.flag))
    if not found.fan_outs:
        yield Fact("outbox", "no rows: everything is done")
    for row in found.fan_outs:
        yield Fact("outbox", _row(row, facts, first_turn=found.fan_outs[0].turn))


def _row(row: FanOut, facts: ListFacts, first_turn: int) -> str:
    last = "the last" if row.up_to_follower_id == MAX_ID else f"{row.up_to_follower_id}"
    parts = [f"{row.kind}, turn {row.turn}, followers {row.after_follower_id + 1} to {last}"]
    slots = Slots(row.first_slot, row.last_slot)
    if slots != ALL:
        parts.append(f"only slots {slots.first} to {slots.last}, and this reader's is {facts.slot}")
    is_ahead = row.is_for(facts.reader.pk, facts.slot)
    parts.append(
        f"user {facts.reader.pk} "
        f"{'is still to be reached' if is_ahead else 'was reached, or belongs to another row'}"
    )
    if row.turn > first_turn:
        parts.append(f"waits for turn {first_turn}")
    if row.attempts:
        parts.append(f"failed {row.attempts} times in a row: {row.last_error}")
    return "; ".join([*parts, f"next attempt at {_time(row.next_attempt_at)}"])


def _flag(flag: Flag | None) -> str:
    if flag is None:
        return "none"
    done = f", done at {_time(flag.done_at)}" if flag.done_at else ""
    return f"raised at {_time(flag.raised_at)}{done}"


def _version(follows_version: int) -> str:
    """Return the version with the time that it is, in microseconds."""
    if not follows_version:
        return "version 0, never changed"
    changed = datetime.fromtimestamp(follows_version / 1e6, UTC)
    return f"version {follows_version}, last changed at {_time(changed)}"


def _expiry(seconds: int) -> str:
    if seconds < 0:
        return "never"
    renewed = timedelta(seconds=store.EXPIRY_SECONDS - seconds)
    return f"in {timedelta(seconds=seconds)}; built, or renewed by a read, {renewed} ago"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
