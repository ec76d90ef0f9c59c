"""Made-up expert loads, for models whose routing nobody published (256 experts)."""

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError
from shadowprice.experts.loads import ExpertLoads


def zipf_loads(
    rng: np.random.Generator,
    *,
    layers: int = 58,
    experts: int = 256,
    batches: int = 32,
    batch_tokens: int = 2048,
    top_k: int = 8,
    exponent: float = 0.5,
) -> ExpertLoads:
    """Popularity of the r-th expert proportional to r^-exponent, in an order of its own per layer, the same all along.

    Assignments of a batch are drawn independently, except that an expert gets a token at most once.
    """
    _require(layers=layers, experts=experts, batches=batches, batch_tokens=batch_tokens, top_k=top_k)
    weight = np.arange(1, experts + 1) ** -exponent
    popularity = np.stack([rng.permutation(weight) for _ in range(layers)])
    return _draw(rng, np.broadcast_to(popularity, (batches, layers, experts)), batch_tokens, top_k, "zipf")


def dirichlet_loads(
    rng: np.random.Generator,
    *,
    layers: int = 58,
    experts: int = 256,
    batches: int = 32,
    batch_tokens: int = 2048,
    top_k: int = 8,
    concentration: float = 2.0,
    drift: float = 0.05,
) -> ExpertLoads:
    """Popularity drawn from a symmetric Dirichlet per layer; each batch, the share `drift` of it is drawn afresh.

    So popularity wanders away from where it began, as it does between topics, and forgets it after about 1 / drift
    batches. A small concentration makes few experts hot. Assignments are drawn as in `zipf_loads`.
    """
    _require(layers=layers, experts=experts, batches=batches, batch_tokens=batch_tokens, top_k=top_k)
    if not 0 <= drift <= 1 or not concentration > 0:
        raise ExpertError(f"drift {drift}, concentration {concentration}; expected 0 to 1, and > 0")
    popularity = np.empty((batches, layers, experts))
    here = rng.dirichlet(np.full(experts, concentration), layers)
    for b in range(batches):
        popularity[b] = here
        here = (1 - drift) * here + drift * rng.dirichlet(np.full(experts, concentration), layers)
    return _draw(rng, popularity, batch_tokens, top_k, "dirichlet")


def _draw(rng: np.random.Generator, popularity: FloatArray, batch_tokens: int, top_k: int, name: str) -> ExpertLoads:
    batches, layers, experts = popularity.shape
    tokens = np.empty((batches, layers, experts), np.int64)
    for b in range(batches):
        for layer in range(layers):
            tokens[b, layer] = _assign(rng, popularity[b, layer], batch_tokens, top_k)
    notes = (f"made up: {name}, {batches} batches of {batch_tokens} tokens, top {top_k} of {experts} experts",)
    return ExpertLoads(tokens, np.arange(layers, dtype=np.int64), name, notes)


def _assign(rng: np.random.Generator, popularity: FloatArray, batch_tokens: int, top_k: int) -> IntArray:
    """batch_tokens * top_k assignments, no expert above batch_tokens: what overflows is drawn again for the others."""
    count = np.zeros(len(popularity), np.int64)
    while (left := batch_tokens * top_k - int(count.sum())) > 0:
        weight = np.where(count < batch_tokens, np.maximum(popularity, 1e-12), 0.0)
        count = np.minimum(count + rng.multinomial(left, weight / weight.sum()), batch_tokens)
    return count


def _require(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ExpertError(f"{name} is {size}; expected >= 1")
    if sizes["top_k"] > sizes["experts"]:
        raise ExpertError(f"top {sizes['top_k']} of {sizes['experts']} experts")
