"""The requests in flight, as arrays: where each is, its prompt, and what it has generated."""

import numpy as np

from shadowprice.errors import RouterError
from shadowprice.router._survey_kernel import survey
from shadowprice.routing.surface import Active

GONE = -2  # the worker of a row is gone, but its request not yet


class Flights:
    """A row per request at a worker. Rows are written through memoryviews: a streamed token costs one of them.

    generated[row] may be raised by anyone who counts a token.
    """

    def __init__(self, capacity: int = 16384) -> None:
        self.worker = np.full(capacity, -1, np.int64)
        self.prompt = np.zeros(capacity, np.int64)
        self.tokens = np.zeros(capacity, np.int64)
        self.generated = self.tokens.data
        self._worker, self._prompt = self.worker.data, self.prompt.data
        self._free: list[int] = []
        self._used = 0  # rows ever taken: the table ends there
        self._active = np.zeros((3, capacity), np.int64)
        self.sums = np.zeros((4, 0), np.int64)

    def __len__(self) -> int:
        return self._used - len(self._free)

    def take(self, worker: int, prompt_tokens: int) -> int:
        """A row for a request that goes to this worker. Raises RouterError when all rows are taken."""
        if self._free:
            row = self._free.pop()
        elif self._used < len(self.worker):
            row = self._used
            self._used += 1
        else:
            raise RouterError(f"{self._used} requests are in flight; no more can be")
        self._prompt[row], self.generated[row] = prompt_tokens, 0
        self._worker[row] = worker
        return row

    def free(self, row: int) -> None:
        """The request is no longer at its worker."""
        self._worker[row] = -1
        self._free.append(row)

    def remove_worker(self, index: int) -> None:
        """That worker is gone; those after it move up. Rows that it still has are freed by whoever holds them."""
        self.worker[self.worker == index] = GONE
        self.worker[self.worker > index] -= 1

    def load_of(self, index: int) -> tuple[int, int, int, int]:
        """Requests running and waiting at one worker, their KV tokens and prompt tokens."""
        rows = np.flatnonzero(self.worker[: self._used] == index)
        begun = self.tokens[rows] > 0
        kv = self.prompt[rows] + self.tokens[rows]
        return int(begun.sum()), int((~begun).sum()), int(kv[begun].sum()), int(kv[~begun].sum())

    def survey(self, workers: int) -> tuple[Active, list[list[int]]]:
        """What runs, and per worker: requests running, their KV tokens, requests waiting, their prompt tokens.

        `sums` holds the same as an array. Valid until the next survey.
        """
        if self.sums.shape[1] != workers:
            self.sums = np.zeros((4, workers), np.int64)
        running, kv, waiting, waiting_tokens = self.sums
        n = survey(
            self.worker, self.prompt, self.tokens, self._used, running, kv, waiting, waiting_tokens, self._active
        )
        where, prompt, generated = self._active
        return Active(where[:n], prompt[:n], generated[:n]), self.sums.tolist()
