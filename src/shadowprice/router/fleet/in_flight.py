"""The requests in flight, as arrays: where each is, its prompt, and what it has generated.

Several processes of one router share these arrays: each writes its own block and reads all, so every one of them knows
every request in flight, to the token. A number that is written while it is read is the old or the new one. A worker is
told by a serial number: the same in all processes, which do not remove it at the same time, and never another's.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.errors import RouterError
from shadowprice.router.fleet._survey_kernel import HEADER, survey
from shadowprice.routing.surface import Active

CAPACITY = 16384  # requests in flight per process


def block_numbers(capacity: int = CAPACITY) -> int:
    """64-bit numbers in the block of one process."""
    return HEADER + 3 * capacity


class Flights:
    """A row per request at a worker. Rows are written through memoryviews: a streamed token costs one of them.

    shared: int64 [processes, block_numbers()], zeroed, or None for one process; own: the block that is ours.
    generated[row] may be raised by anyone who counts a token.
    """

    def __init__(self, shared: npt.NDArray[np.int64] | None = None, own: int = 0) -> None:
        blocks = np.zeros((1, block_numbers()), np.int64) if shared is None else shared
        self._blocks = blocks
        capacity = (blocks.shape[1] - HEADER) // 3
        self.capacity = capacity
        self._used = blocks[:, :1]
        rows = blocks[:, HEADER:].reshape(len(blocks), 3, capacity)
        self._tables = rows[:, 0], rows[:, 1], rows[:, 2]
        self.own = own
        self._worker, self._prompt, self.generated = (table[own].data for table in self._tables)
        self._free: list[int] = []
        self.penalties: deque[tuple[float, int]] = deque()  # rows that are kept for a while: when they end
        self._active = np.zeros((3, len(blocks) * capacity), np.int64)
        self.sums = np.zeros((4, 0), np.int64)
        self._place = np.zeros(0, np.int64)
        self.compiled = True  # may the kernel be called

    @property
    def of_this_process(self) -> int:
        """Requests in flight, of this process."""
        return int(self._used[self.own, 0]) - len(self._free)

    @property
    def of_all_processes(self) -> int:
        """Requests in flight, of all processes."""
        return sum(int((rows != -1).sum()) for rows in self._taken())

    def take(self, worker: int, prompt_tokens: int) -> int:
        """A row for a request that goes to this worker. Raises RouterError when all rows are taken."""
        if self._free:
            row = self._free.pop()
        else:
            row = int(self._used[self.own, 0])
            if row == self.capacity:
                raise RouterError(f"{row} requests are in flight; no more can be")
            self._worker[row] = -1
            self._used[self.own, 0] = row + 1
        self._prompt[row], self.generated[row] = prompt_tokens, 0
        self._worker[row] = worker
        return row

    def free(self, row: int) -> None:
        """The request is no longer at its worker."""
        self._worker[row] = -1
        self._free.append(row)

    def keep(self, row: int, until_s: float) -> None:
        """The request is no longer at its worker, but counts there as load until then. Call it in order of time."""
        self.penalties.append((until_s, row))

    def end_penalties(self, now_s: float) -> None:
        """Free the rows that were kept until now."""
        while self.penalties and self.penalties[0][0] <= now_s:
            self.free(self.penalties.popleft()[1])

    def set_workers(self, serials: Sequence[int]) -> None:
        """The workers that a survey tells of, in this order; rows of others are freed by whoever holds them."""
        self._place = np.full(max(serials, default=-1) + 1, -1, np.int64)
        self._place[list(serials)] = np.arange(len(serials))
        self.sums = np.zeros((4, len(serials)), np.int64)

    def held(self, serial: int) -> int:
        """Requests that this worker has, of all processes."""
        return sum(int((rows == serial).sum()) for rows in self._taken())

    def _taken(self) -> Iterator[npt.NDArray[np.int64]]:
        """The worker of each row that was ever taken, by process."""
        return (rows[:used] for rows, used in zip(self._tables[0], self._used[:, 0], strict=True))

    def survey(self) -> tuple[Active, list[list[int]]]:
        """What runs, and per worker: requests running, their KV tokens, requests waiting, their prompt tokens.

        `sums` holds the same as an array. Valid until the next survey.
        """
        summed = survey if self.compiled else survey_plainly
        n = summed(self._blocks, self._place, self.sums, self._active)
        where, prompts, tokens = self._active
        return Active(where[:n], prompts[:n], tokens[:n]), self.sums.tolist()

    def loads(self) -> list[tuple[int, int, int, int]]:
        """Per worker: requests running and waiting, their KV tokens and their prompt tokens."""
        _, (running, kv, waiting, waiting_tokens) = self.survey()
        return list(zip(running, waiting, kv, waiting_tokens, strict=True))


def survey_plainly(blocks: IntArray, place: IntArray, sums: IntArray, active: IntArray) -> int:
    """What the kernel of that name does, where it is not compiled yet."""
    capacity = (blocks.shape[1] - HEADER) // 3
    sums[:] = 0
    running = 0
    for block in blocks:
        worker, prompt, generated = block[HEADER:].reshape(3, capacity)[:, : block[0]]
        known = np.flatnonzero((worker >= 0) & (worker < len(place)))
        rows = known[place[worker[known]] >= 0]
        g, prompt, generated = place[worker[rows]], prompt[rows], generated[rows]
        runs = generated > 0
        for which, these, tokens in ((0, runs, prompt + generated), (2, ~runs, prompt)):
            np.add.at(sums[which], g[these], 1)
            np.add.at(sums[which + 1], g[these], tokens[these])
        until = running + int(runs.sum())
        active[:, running:until] = g[runs], prompt[runs], generated[runs]
        running = until
    return running
