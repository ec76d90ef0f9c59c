# mypy: allow-untyped-defs, allow-untyped-calls
"""One decision of a compiled policy; the same in the simulators and in the policy's `assign`.

A policy's rule is a compiled function of this one signature. It is called through its address, so that a policy more is
no line more here, and the kernels above stay compiled whatever policies there are.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import typeof, types
from numba.extending import intrinsic

from shadowprice.kernels import njit
from shadowprice.routing._choose_kernel import give
from shadowprice.routing._tables import REQUEST, WORKER, Question, nothing_seen
from shadowprice.routing.surface import Needs

_NONE = np.zeros(0, np.int64)
QUESTION = typeof(
    Question(np.zeros(0, REQUEST), _NONE, 0, np.zeros(0, WORKER), np.zeros((0, 0), np.int64), 0, 0.0, False, _NONE)
)
REMEMBERED = typeof(nothing_seen(Needs(), 1))
# rule(numbers, question, memory, i) -> the worker of question.pool[i]; i = -1: of all, into question.answer
SIGNATURE = types.int64(types.float64[::1], QUESTION, REMEMBERED, types.int64)


def address_of(rule: Any) -> int:
    """Where the compiled rule is; compiled now if it is not yet."""
    return int(types.CompileResultWAP(rule.get_compile_result(SIGNATURE)).__wrapper_address__())


def _call_rule(typing, address, numbers, question, memory, i):
    """What the rule at this address answers."""

    def code(context, builder, signature, values):
        kind = ir.FunctionType(ir.IntType(64), [context.get_value_type(part) for part in SIGNATURE.args])
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])

    return types.int64(types.int64, *SIGNATURE.args), code


call_rule: Any = intrinsic(_call_rule)


@njit(cache=True)
def decide(rule, question, memory):
    """Fill question.answer[:n] with the worker of each request, -1 where it is to wait on."""
    requests, pool, workers, answer = question.requests, question.pool, question.workers, question.answer
    may_wait = question.may_wait
    rooms = 0
    for g in range(len(workers)):
        workers[g].level = (workers[g].kv + workers[g].queued_kv) / workers[g].speed
        workers[g].count = workers[g].running + workers[g].queued
        workers[g].room = workers[g].free if workers[g].shut == 0 else 0
        rooms += workers[g].room
    for i in range(question.n):
        answer[i] = -1
    if rule.chooses if may_wait else rule.at_once:
        call_rule(rule.address, rule.numbers, question, memory, -1)
        return
    for i in range(question.n):
        if may_wait and rooms == 0:
            break
        g = call_rule(rule.address, rule.numbers, question, memory, i)
        answer[i] = g
        rooms -= 1
        give(requests, workers, pool[i], g)
