"""What to keep: which prefix blocks or embeddings a cache evicts, by what a miss costs in seconds.

`problem` says what is asked for (chains of items, each useful only below its parent) and the program in hindsight;
`from_trace` makes it of a trace; `policies` are the rules of production and principled ones, compiled, each a function
of a trace and a capacity; `optimum` bounds what any of them could save, and replays a plan that comes close.
"""

from shadowprice.caching.from_trace import PrefillCost, prefix_accesses, session_accesses
from shadowprice.caching.optimum import Hindsight, hindsight, space_time_bound
from shadowprice.caching.policies import POLICIES, Policy, Run, following
from shadowprice.caching.problem import Accesses

__all__ = [
    "POLICIES",
    "Accesses",
    "Hindsight",
    "Policy",
    "PrefillCost",
    "Run",
    "following",
    "hindsight",
    "prefix_accesses",
    "session_accesses",
    "space_time_bound",
]
