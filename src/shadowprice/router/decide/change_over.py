"""Who decides first: the policy where it is compiled or is to be waited for; else a plain rule until it is."""

import gc

from shadowprice.errors import RouterError
from shadowprice.router.background import Background
from shadowprice.router.decide.dispatch import Dispatcher
from shadowprice.router.decide.first_run import FirstRun, say
from shadowprice.router.decide.least_kv import PLAIN_LEAST_KV


def begin_to_decide(dispatcher: Dispatcher, first_run: FirstRun, background: Background, *, tells: bool) -> None:
    """Load the policy, now or beside the requests. tells: the operator, when it takes over."""
    policy = dispatcher.policy.name
    if dispatcher.settings.wait_for_kernels or first_run.is_compiled(policy):
        first_run.load_now(policy)
    else:
        dispatcher.decides = PLAIN_LEAST_KV
        dispatcher.fleet.flights.compiled = False
        background.run(_change_over(dispatcher, first_run, tells=tells))


async def _change_over(dispatcher: Dispatcher, first_run: FirstRun, *, tells: bool) -> None:
    policy = dispatcher.policy
    try:
        await first_run.load(policy.name)
    except RouterError as error:
        say(str(error))
        return
    gc.freeze()  # of what was loaded, as at the start
    dispatcher.fleet.flights.compiled = True
    if dispatcher.policy is policy:  # else another one was asked for, and took over
        dispatcher.decides = policy
        if tells:
            say(f"loaded: {policy.name} decides from now on")
