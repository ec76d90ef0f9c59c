# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
"""The GPU's kernel of the split over a redundancy graph: one program per layer, all of it in registers."""

import triton  # type: ignore[import-not-found]
import triton.language as tl  # type: ignore[import-not-found]


@triton.jit
def split_layers(
    codes,
    load_in,
    capacity,
    load_out,
    moved,
    largest,
    bound,
    gpus,
    edges,
    most_turns,
    n: tl.constexpr,
    multiplicity: tl.constexpr,
):
    """Push-relabel under Newton's limit; see `split_over_edges_torch`.

    codes int32 [multiplicity, n, n]: the edges between GPUs i and j, each as its number + 1, negative where j is the
    origin; 0 for none. load_in, load_out [layers, gpus], capacity, moved [layers, edges], largest, bound [layers].
    """
    layer = tl.program_id(0)
    i = tl.arange(0, n)
    real = i < gpus
    square = i[:, None] * n + i[None, :]
    load = tl.load(load_in + layer * gpus + i, real, 0).to(tl.float64)
    half = tl.zeros((n, n), tl.float64)
    for k in tl.static_range(multiplicity):
        code = tl.load(codes + k * n * n + square)
        of_edge = tl.load(capacity + layer * edges + tl.abs(code) - 1, code != 0, 0).to(tl.float64) * 0.5
        half += of_edge
        load += tl.sum(tl.where(code > 0, -of_edge, of_edge), 1)
    residual = half  # [i, j]: what may still go from i to j
    far = 2 * n
    limit = tl.sum(load, 0) / gpus
    slack = tl.max(load, 0) * 1e-13
    turn = 0
    above = tl.sum(tl.where(load > limit + slack, 1, 0), 0)
    while (above > 0) & (turn < most_turns):
        usable = residual > slack
        distance = tl.where(real & (load < limit - slack), 0, far)
        changed = 1
        while changed > 0:
            nearer = tl.minimum(distance, tl.min(tl.where(usable, distance[None, :] + 1, far), 1))
            changed = tl.sum(distance - nearer, 0)
            distance = nearer
        stuck = real & (distance >= far)
        if tl.sum(tl.where(stuck & (load > limit + slack), 1, 0), 0) > 0:
            mean = tl.sum(tl.where(stuck, load, 0.0), 0) / tl.sum(tl.where(stuck, 1, 0), 0)
            limit = tl.maximum(limit, mean)
        room = tl.where(usable & (distance[None, :] == distance[:, None] - 1), residual, 0.0)
        before = tl.cumsum(room, 1) - room
        flow = tl.minimum(tl.maximum(tl.maximum(load - limit, 0.0)[:, None] - before, 0.0), room)
        residual += tl.trans(flow) - flow
        load += tl.sum(flow, 0) - tl.sum(flow, 1)
        above = tl.sum(tl.where(load > limit + slack, 1, 0), 0)
        turn += 1
    # what goes from i to j beyond the half, shared by the edges between them in proportion to their capacity
    share = 1.0 - residual / tl.where(half > 0, half, 1.0)
    for k in tl.static_range(multiplicity):
        code = tl.load(codes + k * n * n + square)
        of_edge = tl.load(capacity + layer * edges + code - 1, code > 0, 0).to(tl.float64) * 0.5
        tl.store(moved + layer * edges + code - 1, of_edge + of_edge * share, code > 0)
    tl.store(load_out + layer * gpus + i, load, real)
    tl.store(largest + layer, tl.max(tl.where(real, load, 0.0), 0))
    tl.store(bound + layer, limit)
