"""Hit for hit the same as libcachesim (its own C code), on two traces."""

import numpy as np
import pytest
from trees import alone

from shadowprice.caching import POLICIES

libcachesim = pytest.importorskip("libcachesim", reason="libcachesim is not installed (`make setup` does)")

THEIRS = {
    "fifo": "FIFO",
    "lru": "LRU",
    "lfu": "LFU",
    "sieve": "Sieve",
    "s3_fifo": "S3FIFO",
    "arc": "ARC",
    "w_tinylfu": "WTinyLFU",
}


def popular(rng: np.random.Generator) -> np.ndarray:
    """Zipf-like demand whose favourites drift."""
    return (rng.zipf(1.1, 30_000) % 3_000 + np.arange(30_000) // 300) % 4_000


def scans(rng: np.random.Generator) -> np.ndarray:
    """Runs that return, as the blocks of conversations do."""
    starts = rng.integers(0, 300, 1_500) * 10
    return np.concatenate([np.arange(start, start + rng.integers(2, 40)) for start in starts])


@pytest.mark.parametrize("demand", [popular, scans])
@pytest.mark.parametrize("name", THEIRS)
def test_every_hit_is_a_hit_of_libcachesim(name: str, demand) -> None:
    _, items = np.unique(demand(np.random.default_rng(3)), return_inverse=True)
    for capacity in (137, 300, 1_000):
        theirs = getattr(libcachesim, THEIRS[name])(capacity)
        request = libcachesim.Request()
        hits = np.zeros(len(items), bool)
        for i, item in enumerate(items.tolist()):
            request.obj_id, request.obj_size = item, 1
            hits[i] = theirs.get(request)
        ours = POLICIES[name](alone(items), capacity, np.random.default_rng(0)).saved_s > 0
        assert np.array_equal(ours, hits), f"capacity {capacity}: access {int(np.argmax(ours != hits))}"
        assert hits.any()
