"""Who has the most followers, from a sample of the follows."""

from backends.postgres import binary_cursor

SAMPLED_PAGES = 1_000  # of 8 KiB, with some 130 follows each
MOST_ACCOUNTS = 1_000

# All follows, if the table is small. The same pages each time, so that a list keeps its order.
_SHARE = f"least(1, {SAMPLED_PAGES} * 8192.0 / greatest(1, pg_relation_size('users_follow')))"
MOST_FOLLOWED = f"""
    SELECT followed_id, (count(*) / {_SHARE})::bigint
    FROM users_follow TABLESAMPLE SYSTEM (100 * {_SHARE}) REPEATABLE (0)
    GROUP BY followed_id ORDER BY count(*) DESC, followed_id LIMIT {MOST_ACCOUNTS}
"""  # noqa: S608 (joined from constants)


def most_followed() -> dict[int, int]:
    """Return the estimated number of followers by user id, the highest first.

    It takes as long for 10 million follows as for 130,000. From there on, an estimate of 10,000 is
    wrong by about a tenth, and a higher one by less.
    """
    with binary_cursor() as cursor:
        return dict(cursor.execute(MOST_FOLLOWED).fetchall())
