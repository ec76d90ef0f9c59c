"""The round model: which waiting request starts in which round, on one worker with M tokens of KV memory."""

from dataclasses import dataclass, fields

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.errors import InfeasibleError, TraceError


@dataclass(frozen=True)
class RoundInstance:
    """Requests and memory of the round model, and the hindsight program over them (2502.07115, section 2).

    arrival: int64 [n], rounds >= 0. prompt_tokens, output_tokens: int64 [n], >= 1. memory_tokens: M.

    Request i (arrival a, prompt s, output o) started at round k >= a holds s + j tokens in round k + j, j = 1..o, and
    nothing in any other round; it finishes at round k + o. Its latency is k + o - a rounds. A start is never undone.

        x[i, k] = 1 iff request i starts at round k >= a_i                                     (binary)
        minimise    sum_i sum_k (k + o_i - a_i) x[i, k]                                        [rounds]
        subject to  sum_k x[i, k] = 1                                                          for every request i
                    sum_i sum_{k = t - o_i}^{t - 1} (s_i + t - k) x[i, k] <= M                 for every round t

    Raises TraceError when an array has the wrong shape, type or an impossible value, InfeasibleError when a request
    alone needs more than M tokens.
    """

    arrival: IntArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    memory_tokens: int

    def __post_init__(self) -> None:
        memory = self.memory_tokens
        if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or memory < 1:
            raise TraceError(f"round instance: memory_tokens is {memory!r}; expected a whole number >= 1")
        for field in fields(self)[:3]:
            _require_column(field.name, getattr(self, field.name), len(self.arrival), field.name != "arrival")
        peak = self.prompt_tokens + self.output_tokens
        if np.any(peak > memory):
            i = int(np.argmax(peak > memory))
            raise InfeasibleError(
                f"round instance: request {i} needs {peak[i]} tokens ({self.prompt_tokens[i]} prompt + "
                f"{self.output_tokens[i]} output); memory_tokens is {memory}, so no schedule exists"
            )

    def __len__(self) -> int:
        return len(self.arrival)

    @property
    def volume(self) -> IntArray:
        """Memory-time of each request, sum_{j=1..o} (s + j) = s*o + o(o+1)/2 [token rounds], int64 [n]."""
        return self.prompt_tokens * self.output_tokens + self.output_tokens * (self.output_tokens + 1) // 2

    def total_latency(self, starts: IntArray) -> int:
        """Sum of latencies [rounds] when request i starts at round starts[i]."""
        return int(np.sum(starts + self.output_tokens - self.arrival))

    def usage(self, starts: IntArray) -> IntArray:
        """Tokens held in rounds 0, 1, ... up to the last finish, int64."""
        held = np.zeros(int(np.max(starts + self.output_tokens, initial=0)) + 1, dtype=np.int64)
        for k, s, o in zip(starts, self.prompt_tokens, self.output_tokens, strict=True):
            held[k + 1 : k + o + 1] += s + np.arange(1, o + 1)
        return held

    def require_feasible(self, starts: IntArray) -> None:
        """Raise InfeasibleError, naming the request or round, unless `starts` is a schedule of this instance."""
        if starts.shape != self.arrival.shape:
            raise InfeasibleError(f"schedule has shape {starts.shape}; expected one start per request, {len(self)}")
        early = starts < self.arrival
        if np.any(early):
            i = int(np.argmax(early))
            raise InfeasibleError(f"request {i} starts at round {starts[i]}, before its arrival {self.arrival[i]}")
        held = self.usage(starts)
        if np.any(held > self.memory_tokens):
            t = int(np.argmax(held > self.memory_tokens))
            raise InfeasibleError(f"round {t} holds {held[t]} tokens; memory_tokens is {self.memory_tokens}")


def _require_column(name: str, column: IntArray, n: int, positive: bool) -> None:
    if not isinstance(column, np.ndarray) or column.dtype != np.int64 or column.ndim != 1:
        raise TraceError(f"round instance: {name} must be a one-dimensional int64 array")
    if len(column) != n:
        raise TraceError(f"round instance: {name} has {len(column)} rows; arrival has {n}")
    least = 1 if positive else 0
    if np.any(column < least):
        i = int(np.argmax(column < least))
        raise TraceError(f"round instance: request {i}: {name} is {column[i]}; expected a whole number >= {least}")
