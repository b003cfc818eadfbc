"""Signs that deliveries work: the oldest rows of the outbox, and who was seen when."""

import socket

MOST_COUNTED = 10_000  # rows of the outbox

# Those with the lowest ids, so that it is cheap however many there are.
OLDEST = f"""
    SELECT attempts, created_at FROM timelines_fanout ORDER BY id LIMIT {MOST_COUNTED}
"""  # noqa: S608 (joined from constants)

# Sightings with these instead of a server's identity
SWEEP = "sweep"
HEARTBEAT = "heartbeat"  # of the scheduler

# The time since the sighting $1, by Postgres's clock.
SEEN = """
    SELECT extract(epoch FROM clock_timestamp() - seen_at)::float FROM timelines_sighting
    WHERE identity = $1
"""


def sweep_of_this_host() -> str:
    return f"{SWEEP}:{socket.gethostname()}"[:80]
