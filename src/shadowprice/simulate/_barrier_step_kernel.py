# mypy: allow-untyped-defs, allow-untyped-calls
"""A step of the barrier kernel: all workers wait for the slowest; what it took, and who made the last token in it."""

from shadowprice.kernels import njit
from shadowprice.routing._learn_kernel import note_end


@njit(cache=True)
def measure(model, workers, most, run, longest_s, steady):
    """Add the step to the totals: of the whole run, and of its steady part. most: slots of a worker."""
    idle_s, energy_w, top, load, running = 0.0, 0.0, 0.0, 0.0, 0
    G = len(workers)
    for g in range(G):
        idle_s += longest_s - workers[g].seconds
        load += workers[g].kv
        running += workers[g].running
        top = max(top, workers[g].kv)
    for g in range(G):
        share = workers[g].running * model.fixed_s / (most * longest_s)
        energy_w += model.idle_power_w + (model.peak_power_w - model.idle_power_w) * share**model.power_exponent
    run.barrier_s += longest_s
    run.idle_s += idle_s
    run.energy_j += energy_w * longest_s
    if not steady:
        return
    run.steady_steps += 1
    run.steady_s += longest_s
    run.steady_idle_s += idle_s
    run.steady_tokens += running
    run.steady_imbalance += G * top - load
    run.steady_indivisible += (-load) % G
    run.steady_energy_j += energy_w * longest_s


@njit(cache=True)
def sample(workers, run, samples):
    """Keep every stride-th step's loads; every other one of those when rows run out."""
    if len(samples) == 0 or run.step & (run.stride - 1) != 0:
        return
    if run.n_samples == len(samples):
        for i in range(len(samples) // 2):
            samples[i] = samples[2 * i]
        run.n_samples //= 2
        run.stride *= 2
        if run.step & (run.stride - 1) != 0:
            return
    samples[run.n_samples, 0] = run.now_s
    for g in range(len(workers)):
        samples[run.n_samples, 1 + g] = workers[g].kv
    run.n_samples += 1


@njit(cache=True)
def run_step(model, tables, run, n_started, learned, learns):
    """All workers make one token per running request; who made the last one leaves."""
    requests, workers, slots, ends = tables.requests, tables.workers, tables.slots, tables.ends
    started, ended = tables.started, tables.ended
    longest_s = 0.0
    for g in range(len(workers)):
        workers[g].seconds = (
            model.fixed_s
            + model.per_sequence_s * workers[g].running
            + model.per_kv_token_s * workers[g].kv
            + model.per_prefill_token_s * workers[g].prefill
        ) / workers[g].speed
        longest_s = max(longest_s, workers[g].seconds)
    n = len(requests)
    if model.saturated:
        steady = run.following > n // 10 and run.following < n
    else:
        steady = run.following < n and run.now_s > requests[n // 10].arrival_s
    if steady and run.steady_steps == 0:
        run.steady_from_s = run.now_s
    measure(model, workers, slots.shape[1], run, longest_s, steady)
    sample(workers, run, tables.samples)
    run.now_s += longest_s
    if steady:
        run.steady_until_s = run.now_s
    for i in range(n_started):
        requests[started[i]].first_token_s = run.now_s
    for g in range(len(workers)):
        workers[g].kv += model.drift_tokens * workers[g].running
    at = run.step % len(ends)
    r = ends[at]
    ends[at] = -1
    ended_before = run.n_ended
    while r >= 0:
        following = requests[r].following
        g = requests[r].worker
        workers[g].running -= 1
        workers[g].free += 1
        run.free += 1
        workers[g].kv -= requests[r].prompt + model.drift_tokens * requests[r].output
        if workers[g].running == 0:
            workers[g].kv = 0.0
        last = slots[g, workers[g].running]
        slots[g, requests[r].place] = last
        requests[last].place = requests[r].place
        requests[r].finish_s = run.now_s
        ended[run.n_ended] = requests[r].output
        run.n_ended += 1
        if learns:
            note_end(learned, requests[r].output)
        r = following
    run.left -= run.n_ended - ended_before
    run.step += 1
