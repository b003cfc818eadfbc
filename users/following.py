"""Following and unfollowing. Both may be repeated."""

from rest_framework.exceptions import ValidationError

from api.errors import no_such
from backends.postgres import binary_cursor
from users.models import Follow, User

# $1: the follower, $2: the followed user. The follower is locked first, with the lock that the
# trigger of follows takes. The deletion of the followed user locks its followers first too, so the
# two can't deadlock. Followers of the same user don't wait for each other: KEY SHARE only excludes
# its deletion.
FOLLOW = """
    WITH follower AS (
        SELECT id FROM users_user WHERE id = $1 FOR NO KEY UPDATE
    ), followed AS (
        SELECT id FROM users_user
        WHERE id = $2 AND (SELECT id FROM follower) IS NOT NULL FOR KEY SHARE
    ), stored AS (
        INSERT INTO users_follow (follower_id, followed_id)
        SELECT follower.id, followed.id FROM follower, followed
        ON CONFLICT (follower_id, followed_id) DO NOTHING
    )
    SELECT (SELECT id FROM follower), (SELECT id FROM followed)
"""

NOT_ONESELF = ValidationError({"followed_id": ["Users can't follow themselves."]})


def follow(follower_id: int, followed_id: int) -> None:
    """Make a user follow another. Raises NotFound, and ValidationError if they are the same."""
    if follower_id == followed_id:
        _check_exist(follower_id)
        raise NOT_ONESELF
    with binary_cursor() as cursor:
        cursor.execute(FOLLOW, [follower_id, followed_id])
        found = cursor.fetchone()
    for user_id, row in zip((follower_id, followed_id), found or (), strict=True):
        if row is None:
            raise no_such("user", user_id)


def unfollow(follower_id: int, followed_id: int) -> None:
    """Make a user stop following another. Raises NotFound if one of them does not exist."""
    deleted, _ = Follow.objects.filter(follower=follower_id, followed=followed_id).delete()
    if not deleted:
        _check_exist(follower_id, followed_id)


def _check_exist(*user_ids: int) -> None:
    known = set(User.objects.filter(pk__in=user_ids).values_list("pk", flat=True))
    for user_id in user_ids:
        if user_id not in known:
            raise no_such("user", user_id)
