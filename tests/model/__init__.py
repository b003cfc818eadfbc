"""Models of the protocol, explored exhaustively. `python -m tests.model` prints everything.

| model    | what can happen in it                                                                 |
| -------- | ------------------------------------------------------------------------------------- |
| Failover | a primary and a replica: replication that lags, promotion, split brain, old data      |
| Moving   | a slot that moves between two primaries, which learn of it late                       |
| both     | admission and its end, rounds, rebuilds, follows, evictions, a read and its hydration |
| Lists    | one list: marks, cuts, late and repeated pushes, deletion, the same id loaded again   |
| Settling | a low-water id: transactions and deliveries that end in any order                     |
| Cursors  | a client that comes back: late tweets, flags, floors, limits, old low-water ids       |

A page must not lack a tweet that was delivered before its list was read. A process's low-water id
must be below each tweet that may still arrive. A client that follows its cursor must be given each
tweet that arrives after its first page, once. All steps can happen at any time and again and again,
but Lists has one deletion, and tends a long list before it pushes.
Each guard has a history that loses or repeats a tweet without it; `pytest -s tests/model` prints
them. NO_LATE_RETRACTION is an assumption: nothing stops a round that hung from retracting too late.
It matters only if the same id was delivered to the same list again.

Left out: except in Cursors, the flags and what hydration drops, which only improve a page; several
readers, authors, slots and batches, whose lists don't touch each other; how a server is chosen,
because each one may be admitted at any time; a Postgres that is restored or promoted, or that loses
unwritten values of a sequence in a crash; the bound on the ids in a cursor.

To try a change of the protocol: change the step here first, run the tests, and read the history
that they print. Then remove the guards that the change should replace. A new guard gets a name in
guards.py, a condition in its step, and a place in a model's `necessary`. pruning.py relies on
versions, generations, identities and tokens that don't recur, so check its conditions too.
`python -m tests.model --size 3` explores larger models of servers and lists, which takes minutes
and gigabytes.
"""

from typing import Any

from tests.model.cursors import Cursors
from tests.model.engine import Model
from tests.model.lists import Lists
from tests.model.servers import Failover, Moving
from tests.model.settling import Settling

MODELS: tuple[type[Model[Any]], ...] = (Failover, Moving, Lists, Settling, Cursors)
