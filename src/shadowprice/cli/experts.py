"""`shadowprice experts`: from recorded expert loads to a placement, with what it is worth."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shadowprice.cli.flags import AsJson, Cost, Redundant, Seed, TileRows

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    import numpy as np

    from shadowprice.experts import Budget, Comparison, ExpertLoads, GemmTime, Routing

MADE_UP = ("zipf", "dirichlet")

EPILOG = """Examples:

\b
shadowprice experts routing.npz --gpus 8 --redundant 8
shadowprice experts expert_distribution_recorder_1.pt --gpus 16 --redundant 32 -o sglang.json
shadowprice experts answers.jsonl --num-experts 256 --dispatch optimal -o vllm.npy -o sglang.json
shadowprice experts counts.csv --before sglang.json --move-budget 4 -o next.json
shadowprice experts dirichlet --gpus 32 --redundant 32 --json
shadowprice experts routing.npz --cost seconds --fleet moe.toml

Exit codes: 0 done; 2 bad input."""


@dataclass(frozen=True)
class ExpertFlags:
    """What `shadowprice experts` can be asked."""

    loads: Annotated[
        str,
        typer.Argument(
            help="Counts or routing: .csv, .json, .jsonl, .npy, .npz, SGLang's .pt or a directory of them; "
            "or made up: zipf, dirichlet (58 layers, 256 experts)."
        ),
    ]
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that the experts of a layer are spread over.")] = 8
    redundant: Redundant = 8
    batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a batch, where tokens are known one by one.")] = (
        2048
    )
    dispatch: Annotated[
        Literal["even", "optimal"],
        typer.Option(
            help="How your engine splits an expert's tokens over its replicas: the written placement is for that."
        ),
    ] = "even"
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write our placement: .json for SGLang, .npy for vLLM, .npz. Repeatable."),
    ] = None
    before: Annotated[Path | None, typer.Option(help="The placement that is in place now (as written by -o).")] = None
    move_budget: Annotated[
        int | None, typer.Option(min=0, help="With --before: expert weights to copy at most, per layer.")
    ] = None
    quantile: Annotated[
        float, typer.Option(min=0, max=1, help="Place for this quantile over batches; 0: for their mean.")
    ] = 0.0
    groups: Annotated[int, typer.Option(min=1, help="Expert groups, for EPLB's hierarchical placement.")] = 1
    nodes: Annotated[int, typer.Option(min=1, help="Machines, for EPLB's hierarchical placement.")] = 1
    num_experts: Annotated[
        int | None, typer.Option(min=1, help="Experts of the model, where ids alone do not tell.")
    ] = None
    model: Annotated[str | None, typer.Option(help="Which model, where a CSV has several.")] = None
    effort: Annotated[float, typer.Option(help="How long to search: 1 is about a second of one core.")] = 1.0
    plot: Annotated[Path | None, typer.Option(help="Write a picture of the comparison (.svg or .png).")] = None
    cost: Cost = "tokens"
    fleet: Annotated[
        str | None, typer.Option(help="With --cost seconds: a fleet file or preset, whose GPU and model it is.")
    ] = None
    tile_rows: TileRows = 64
    seed: Seed = 0
    as_json: AsJson = False


def experts(asked: ExpertFlags) -> None:
    """Where MoE experts should live, and what that is worth: largest over mean GPU load before and after, and a bound.

    Placements are chosen on the first half of what was recorded and judged on the second.
    """
    import numpy as np

    from shadowprice.cli.output import PLOTS, check_writable
    from shadowprice.experts import ExpertOptions, SearchOptions, compare, write_placement
    from shadowprice.experts.write import ENDINGS

    written = asked.output or []
    for path in written:
        check_writable(path, ENDINGS)
    check_writable(asked.plot, PLOTS, "report")
    rng = np.random.default_rng(asked.seed)
    loads = recorded(asked.loads, rng, asked.num_experts, asked.model)
    search = SearchOptions(asked.quantile, asked.groups, asked.nodes, asked.effort)
    options = ExpertOptions(asked.gpus, asked.redundant, asked.batch_tokens, asked.seed, search, _gemm(asked))
    budget = _budget(asked, loads)
    found = compare(loads, options, rng=rng, budget=budget)
    ours = found.placements[f"shadowprice for {asked.dispatch}"]
    for path in written:
        write_placement(ours, found.judged.layer_ids, path)
    if asked.plot is not None:
        from shadowprice.experts.plot import write_plot

        write_plot(found, asked.plot)
    copies = None if budget is None else ours.moved_from(budget.before)
    if asked.as_json:
        more = {"copies": copies, "written": [str(path) for path in written]}
        print(json.dumps(found.to_json() | more, allow_nan=False))
        return
    _print(found)
    if copies is not None:
        print(f"expert weights to copy, all layers: {copies}")
    for path in written:
        print(f"{path}: placement for the {asked.dispatch} split")


def recorded(
    source: str, rng: "np.random.Generator", num_experts: int | None = None, model: str | None = None
) -> "ExpertLoads | Routing":
    """The loads in a file or directory, or made up by name."""
    from shadowprice.experts import dirichlet_loads, read_loads, zipf_loads

    if source in MADE_UP and not Path(source).exists():
        return zipf_loads(rng) if source == "zipf" else dirichlet_loads(rng)
    return read_loads(source, experts=num_experts, model=model)


def _gemm(asked: ExpertFlags) -> "GemmTime | None":
    """What a GPU's load is."""
    from shadowprice.errors import ExpertError
    from shadowprice.experts import gemm_time_of
    from shadowprice.fleet import read_fleet

    if (asked.cost == "seconds") != (asked.fleet is not None):
        raise ExpertError("--cost seconds and --fleet go together: whose GPU and model the times are of")
    return None if asked.fleet is None else gemm_time_of(read_fleet(asked.fleet), asked.tile_rows)


def _budget(asked: ExpertFlags, loads: "ExpertLoads | Routing") -> "Budget | None":
    """The placement now and the copies allowed; None where all may move."""
    from shadowprice.errors import ExpertError
    from shadowprice.experts import Budget, read_placement, slots_for

    if (asked.before is None) != (asked.move_budget is None):
        raise ExpertError("--before and --move-budget go together: the placement now, and the copies allowed per layer")
    slots = slots_for(loads.experts, asked.redundant, asked.gpus)
    if asked.before is None or asked.move_budget is None:
        return None
    placement = read_placement(asked.before, asked.gpus, loads.experts, loads.layer_ids)
    if placement.expert_of_slot.shape[1] != slots:
        raise ExpertError(
            f"{asked.before}: {placement.expert_of_slot.shape[1]} slots per layer; --redundant asks for {slots}"
        )
    return Budget(placement, asked.move_budget)


def _print(found: "Comparison") -> None:
    from rich.table import Table

    from shadowprice.cli.output import show

    judged = found.judged
    print(
        f"{judged.name}: {judged.layers} layers, {judged.experts} experts in {found.slots} slots on "
        f"{found.options.gpus} GPUs, judged on {judged.batches} batches"
    )
    gemm = found.options.cost
    if gemm is not None:
        print(
            f"loads are seconds: {1e6 * gemm.weight_s:.3g} us to read an expert, {1e6 * gemm.tile_s:.3g} us a tile of "
            f"{gemm.tile_rows} tokens; the mean is that of the experts' least seconds"
        )
    table = Table("placement", "split over replicas", box=None, pad_edge=False)
    for name in ("largest / mean", "above the bound", *(["slowest GPU"] if gemm is not None else [])):
        table.add_column(name, justify="right")
    for row in found.rows:
        cells = [f"{row.max_over_mean:.3f}", f"{100 * (row.max_over_mean / row.bound - 1):.1f} %"]
        cells += [] if row.slowest_s is None else [f"{1e6 * row.slowest_s:,.1f} us"]
        table.add_row(row.placement, row.dispatch, *cells)
    table.add_row("any", "any: bound", f"{found.rows[0].bound:.3f}")
    show("", table, "")
    for other in found.baselines:
        effect = "does not change the output"
        if other.changes_output:
            effect = f"CHANGES THE OUTPUT: {100 * other.dropped_share:.1f} % of the router's choices dropped"
            effect += f", {100 * other.added_share:.1f} % added" if other.added_share else ""
        print(f"{other.baseline}: {other.max_over_mean:.3f}; {effect}")
    print(f"search: {found.seconds:.2f} s of CPU time for two placements")
    for note in found.notes:
        print(f"note: {note}")
