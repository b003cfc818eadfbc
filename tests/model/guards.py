"""The guards of the protocol, by name. A model can be explored without one of them."""

from enum import Enum


class Guard(Enum):
    """A guard, and what it says."""

    # Rounds
    MAP_AFTER_CLAIM = "a round reads the admission map after it has claimed its rows"
    CHECK = "a push counts only if the server says, after it, that it is the admitted one"
    # Admission
    NEW_GENERATION = "every admission, and every end of one, has a new generation"
    MAP_BY_SLOT = "a map says which server has the slot; a set of admitted servers does not"
    EPOCH = "a server's identity contains its epoch, which rises when it takes over a slot"
    ROLE = "a replica has no identity, although it knows the replication id of its primary"
    FRESH_IDENTITY = "the identity is asked with each read, not remembered by the connection"
    # Rebuilds
    TOKEN = "a rebuild writes only if the state still has its token"
    LIST_EXISTS = "a rebuild writes only if its list still exists"
    BEGIN_FIRST = "a rebuild begins its list before it reads Postgres"
    VERSION_OF_SNAPSHOT = "the version is the one in the snapshot, not a later one"
    GENERATION_OF_SNAPSHOT = "the generation is the one in the snapshot, not a later one"
    # Reads
    VERSION = "a list of another version is not believed"
    GENERATION = "a list of another generation is not believed"
    READER_CHECK = "a list is believed only if the server that answered is the admitted one"
    # One list
    EMPTY_BEGIN = "a rebuild begins with an empty list"
    FLOOR = "a cut raises the floor to the highest id that was cut off"
    HIGHER_FLOOR = "a rebuild stores the higher one of its own floor and the list's"
    NO_MARK_IN_REBUILD = "no mark is pushed during a rebuild"
    MARK = "the part of a list that was read is complete only above its lowest mark"
    TURNS = "a row waits for earlier turns of its tweet"
    # Low-water ids
    XID_FIRST = "a transaction has its own id before it takes a tweet's id"
    NEXT_XID = "ids are settled once all below the next xid have ended; an xmax may be too low"
    VALUE_FIRST = "the sequence is read before the next xid"
    SETTLED = "a low-water id is not above the settled ids"
    PENDING = "a low-water id is below each pending delivery that is not flagged"
    ONE_SNAPSHOT = "the snapshot that shows what is settled also shows what is pending"
    # Cursors
    LOW_BEFORE_LIST = "a page takes the low-water id before it reads the list"
    LINGER = "a page shows a flagged tweet if its list was read before the delivery was done"
    OLDER_ONES = "the first cursor has all visible ids, including those older than its page"
    LOWEST = "a page has the lowest ids that were not given, and leaves the higher ones over"
    LEFT_OVER = "if a page leaves tweets over, its cursor's low-water id is at most its last id"
    NEVER_LOWER = "a cursor's low-water id never falls, whichever process answers"
    # An assumption that nothing in the protocol enforces
    NO_LATE_RETRACTION = "a retraction reaches a list only before its row is deleted"
