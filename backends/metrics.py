"""What all rooms count, for Prometheus. docs/metrics.md lists it.

In a process that serves no metrics, the counts stay in its memory. Otherwise they are in files that
the processes of one service share: see twit/metrics.py.

Looking up labels takes as long as counting, 1 us. So a hot path keeps what `labels` returned.
"""

from prometheus_client import Counter, Gauge, Histogram

# In seconds. Pages and pushes take milliseconds. A server that is down makes them wait for seconds.
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

REQUESTS = Histogram(
    "twit_request_seconds",
    "Time that Django took for a request. Streams count when they open.",
    ["method", "endpoint", "status"],
    buckets=FAST,
)
REFUSED_REQUESTS = Counter(
    "twit_refused_requests", "Requests that were refused before they reached Django.", ["status"]
)
LIMITS_HIT = Counter("twit_limits_hit", "Requests and logins beyond a rate limit.", ["scope"])
FAILED_LOGINS = Counter("twit_logins_failed", "Logins with a wrong name or password.")

PAGES = Counter("twit_pages", "Pages of home timelines, by where their ids came from.", ["source"])
UNBELIEVED = Counter(
    "twit_lists_not_believed", "Lists that could not serve a page, by reason.", ["reason"]
)
REBUILDS = Counter("twit_rebuilds", "Rebuilds of lists, by outcome.", ["outcome"])

STREAMS = Gauge("twit_streams_open", "Streams that are open.", multiprocess_mode="livesum")
STREAM_EVENTS = Counter("twit_stream_events", "Events that were sent to streams.", ["event"])
STREAMS_ENDED = Counter("twit_streams_ended", "Streams that ended, by reason.", ["reason"])

WAKE_UPS = Counter("twit_wake_ups", "Wake-ups of workers, by outcome.", ["outcome"])
WAKE_UPS_TAKEN = Counter("twit_wake_ups_taken", "Wake-ups that reached a worker.")
ROUNDS = Counter("twit_rounds", "Rounds that found work.")
ROUND_SECONDS = Counter("twit_round_seconds", "Time of these rounds, by phase.", ["phase"])
FAILED_ROUNDS = Counter("twit_rounds_failed", "Rounds that no server of the timelines answered.")
ROWS = Counter("twit_outbox_rows", "Outbox rows that rounds worked on, by outcome.", ["outcome"])
DELIVERIES = Counter("twit_deliveries", "Home timelines that a tweet was pushed onto or taken off.")
ARRIVAL = Histogram(
    "twit_arrival_seconds",
    "Time from a tweet's transaction to its arrival. Each round counts only its longest.",
    buckets=SLOW,
)
ADMISSIONS = Counter(
    "twit_admission_changes", "Ranges of slots that got another server, or none.", ["to"]
)

VALKEY_ERRORS = Counter(
    "twit_valkey_errors", "Failures of Valkey servers, by kind.", ["node", "kind"]
)
BREAKER_TRIPS = Counter(
    "twit_valkey_breaker_trips", "How often a process gave up on a server for a while.", ["node"]
)
OPEN_BREAKERS = Gauge(
    "twit_valkey_breakers_open",
    "Processes that have given up on a server and not reached it since.",
    ["node"],
    multiprocess_mode="livesum",
)
