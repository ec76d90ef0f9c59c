"""How many tokens each expert got: per batch, layer and expert, or token by token."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts.gemm_time import GemmTime

MOST_AVERAGED, ELSE = 2000, 1000
LARGEST_COUNT = 2.0**53 / MOST_AVERAGED


@dataclass(frozen=True)
class ExpertLoads:
    """How many tokens each expert computed, batch by batch and layer by layer.

    Parameters
    ----------
    tokens : ndarray of int64, shape (batches, layers, experts)
        (token, expert) pairs computed; one batch where only totals are known.
    layer_ids : ndarray of int64, shape (layers,)
        Each layer's number in the model; dense layers have no row.
    name : str
        Where they came from.
    notes : tuple of str
        What a reader dropped or assumed.

    Raises
    ------
    ExpertError
        For a wrong shape or type, a negative count, or a layer without any token.
    """

    tokens: IntArray
    layer_ids: IntArray
    name: str = "loads"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tokens = self.tokens
        if not isinstance(tokens, np.ndarray) or tokens.dtype != np.int64 or tokens.ndim != 3 or 0 in tokens.shape:
            raise ExpertError(f"{self.name}: tokens must be an int64 array [batches, layers, experts], none of them 0")
        if tokens.min() < 0:
            b, layer, e = np.argwhere(tokens < 0)[0]
            raise ExpertError(
                f"{self.name}: batch {b}, layer {layer}, expert {e}: count {tokens[b, layer, e]}; expected >= 0"
            )
        if self.layer_ids.shape != (tokens.shape[1],):
            raise ExpertError(f"{self.name}: {len(self.layer_ids)} layer ids for {tokens.shape[1]} layers")
        idle = ~tokens.any(axis=(0, 2))
        if idle.any():
            raise ExpertError(f"{self.name}: layer {self.layer_ids[idle][0]} has no tokens at all")

    @property
    def batches(self) -> int:
        return self.tokens.shape[0]

    @property
    def layers(self) -> int:
        return self.tokens.shape[1]

    @property
    def experts(self) -> int:
        return self.tokens.shape[2]

    @property
    def totals(self) -> IntArray:
        """Tokens over all batches, int64 [layers, experts]: what EPLB is given."""
        return self.tokens.sum(axis=0)

    def relative(self, gpus: int, gemm: GemmTime | None = None) -> FloatArray:
        """Loads in units of their batch's mean GPU load, [batches, layers, experts]; 0 where a batch is idle.

        gemm: loads are the seconds that each expert takes at least, on one GPU or on many, instead of its tokens.
        """
        load = self.tokens if gemm is None else gemm.of(self.tokens.astype(np.float64))
        mean = load.sum(axis=2, keepdims=True) / gpus
        return np.divide(load, mean, out=np.zeros(self.tokens.shape), where=mean > 0)

    def halves(self) -> "tuple[ExpertLoads, ExpertLoads]":
        """The first half of the batches and the rest; the same loads twice where there is one batch only."""
        if self.batches == 1:
            return self, self
        middle = self.batches // 2
        return replace(self, tokens=self.tokens[:middle]), replace(self, tokens=self.tokens[middle:])


@dataclass(frozen=True)
class Routing:
    """Which experts each token went to: expert [tokens, layers, top_k] of ids below `experts`, in serving order."""

    expert: npt.NDArray[np.integer]
    experts: int
    layer_ids: IntArray
    name: str = "routing"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expert = self.expert
        if expert.ndim != 3 or not np.issubdtype(expert.dtype, np.integer) or 0 in expert.shape:
            raise ExpertError(f"{self.name}: expert ids must be integers [tokens, layers, top_k], none of them 0")
        if expert.min() < 0 or expert.max() >= self.experts:
            bad = np.argwhere((expert < 0) | (expert >= self.experts))[0]
            raise ExpertError(
                f"{self.name}: token {bad[0]}, layer {bad[1]}: expert {expert[tuple(bad)]}; expected 0 to "
                f"{self.experts - 1}"
            )

    def __len__(self) -> int:
        return len(self.expert)

    def halves(self) -> "tuple[Routing, Routing]":
        """The first half of the tokens and the rest."""
        middle = len(self) // 2
        if middle == 0:
            raise ExpertError(f"{self.name}: 1 token cannot be halved")
        return replace(self, expert=self.expert[:middle]), replace(self, expert=self.expert[middle:])

    def in_batches(self, batch_tokens: int) -> ExpertLoads:
        """Loads of consecutive batches of `batch_tokens` tokens; a last, shorter one is left out and noted."""
        if batch_tokens < 1:
            raise ExpertError(f"batch of {batch_tokens} tokens; expected >= 1")
        batches = len(self) // batch_tokens
        if batches == 0:
            raise ExpertError(
                f"{self.name}: {len(self)} tokens are less than one batch of {batch_tokens}; ask for smaller batches"
            )
        layers = self.expert.shape[1]
        tokens = np.empty((batches, layers, self.experts), np.int64)
        row = self.experts * np.arange(layers)[:, None]
        for b in range(batches):
            ids = self.expert[b * batch_tokens : (b + 1) * batch_tokens].astype(np.int64) + row
            tokens[b] = np.bincount(ids.ravel(), minlength=layers * self.experts).reshape(layers, self.experts)
        left = len(self) - batches * batch_tokens
        notes = self.notes + ((f"the last {left} tokens fill no batch and are left out",) if left else ())
        return ExpertLoads(tokens, self.layer_ids, self.name, notes)


def loads_from_counts(counts: npt.ArrayLike, name: str, layer_ids: IntArray | None = None) -> ExpertLoads:
    """Loads from counts [experts], [layers, experts] or [batches, layers, experts].

    Idle batches and layers are dropped and noted. Averages over k batches are taken as their sums where such a k of at
    most MOST_AVERAGED makes them whole, else a thousandfold, rounded. Raises ExpertError where counts are no numbers
    >= 0, or nothing is left.
    """
    try:
        array = np.asarray(counts)
    except ValueError as error:
        raise ExpertError(f"{name}: rows of unequal length; expected [layers, experts]") from error
    if array.ndim in (1, 2):
        array = array[None] if array.ndim == 2 else array[None, None]
    if array.ndim != 3 or array.dtype.kind not in "iuf" or 0 in array.shape:
        raise ExpertError(
            f"{name}: found an array {list(array.shape)} of {array.dtype}; expected counts [experts], "
            "[layers, experts] or [batches, layers, experts]"
        )
    notes: list[str] = []
    if array.dtype.kind == "f":
        bad = np.argwhere(~(np.isfinite(array) & (np.abs(array) < LARGEST_COUNT)))
        if len(bad):
            b, layer, e = bad[0]
            raise ExpertError(
                f"{name}: batch {b}, layer {layer}, expert {e}: {array[b, layer, e]}; expected a number of tokens"
            )
        array, notes = _whole(array)
    tokens = array.astype(np.int64)
    ids = np.arange(tokens.shape[1], dtype=np.int64) if layer_ids is None else layer_ids
    busy_batch, busy_layer = tokens.any(axis=(1, 2)), tokens.any(axis=(0, 2))
    if not busy_batch.any():
        raise ExpertError(f"{name}: every count is 0; expected the tokens of each expert")
    if not busy_batch.all():
        notes.append(f"{np.sum(~busy_batch)} batches without tokens left out")
    if not busy_layer.all():
        notes.append(f"layers without tokens left out: {', '.join(str(i) for i in ids[~busy_layer])}")
    return ExpertLoads(np.ascontiguousarray(tokens[busy_batch][:, busy_layer]), ids[busy_layer], name, tuple(notes))


def _whole(averages: FloatArray) -> tuple[FloatArray, list[str]]:
    """Whole counts in the same ratios, and what was done to get them."""
    if np.array_equal(averages, np.rint(averages)):
        return averages, []
    largest = max(float(np.abs(averages).max()), 1.0)
    for k in range(2, MOST_AVERAGED + 1):
        times = averages * k
        if np.all(np.abs(times - np.rint(times)) <= 1e-9 * k * largest):
            return np.rint(times), [f"counts are averages of {k} batches: taken as their sums"]
    return np.rint(averages * ELSE), [f"counts are averages: taken {ELSE:,} times, rounded"]
