"""One assignment step: the instance, and the integer program of BF-IO (arXiv 2601.17855, section on the principle).

    sets        requests i = 1..n that wait, workers g = 1..G with rooms_g free slots, points x of the window
    data        load_gx expected load of what worker g runs, added_ix of request i, weight_x
    variables   y_ig in {0, 1}: i goes to g;  M_x: the maximum at point x
    minimise    sum_x weight_x * ( G * M_x - sum_g load_gx - sum_ig added_ix * y_ig )          [KV tokens]
    subject to  M_x >= load_gx + sum_i added_ix * y_ig             for all g, x
                sum_g y_ig <= 1,   sum_i y_ig <= rooms_g,   sum_ig y_ig = min(n, sum_g rooms_g)

The objective is the imbalance of the window: at each point the work that the others wait for. Assignments are for
good, so the window is all that is looked at; the last row says that no slot stays empty while somebody waits.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError


@dataclass(frozen=True)
class StepProblem:
    """load [G, points], added [n, points] in KV tokens; rooms int64 [G]; weights [points].

    Raises PolicyError when shapes do not fit or a number is negative.
    """

    load: FloatArray
    added: FloatArray
    rooms: IntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        points = len(self.weights)
        shapes = (self.load.shape, self.added.shape, self.rooms.shape)
        if shapes != ((len(self.rooms), points), (len(self.added), points), (len(self.rooms),)) or not len(self.rooms):
            raise PolicyError(
                f"step problem: load {shapes[0]}, added {shapes[1]}, rooms {shapes[2]}, weights ({points},); "
                "expected [workers, points], [requests, points], [workers] and [points]"
            )
        if min(a.min(initial=0) for a in (self.load, self.added, self.rooms, self.weights)) < 0:
            raise PolicyError("step problem: a load, room or weight is negative; expected numbers >= 0")

    @property
    def assigned(self) -> int:
        """How many requests must be given a worker."""
        return min(len(self.added), int(self.rooms.sum()))

    def imbalance(self, answer: IntArray) -> float:
        """The objective under an answer: the worker of each request, -1 for none.

        Raises PolicyError when the answer is not feasible.
        """
        given = answer[answer >= 0]
        if len(given) != self.assigned or np.any(np.bincount(given, minlength=len(self.rooms)) > self.rooms):
            raise PolicyError(f"answer {answer!r} does not fill {self.assigned} of the rooms {self.rooms!r}")
        load = self.load.copy()
        np.add.at(load, given, self.added[answer >= 0])
        return float(((load.max(axis=0) - load).sum(axis=0) * self.weights).sum())
