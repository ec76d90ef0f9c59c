"""shadowprice fleet: list what is known, show a fleet, make a fleet file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from shadowprice.cli.flags import AsJson, spread
from shadowprice.cli.fleet_fit import EPILOG as FIT_EPILOG
from shadowprice.cli.fleet_fit import fit

fleet_app = typer.Typer(
    help="Describe the fleet that serves: GPU, model, limits and step time.",
    no_args_is_help=True,
)

MAKE_EPILOG = """Examples:

\b
shadowprice fleet make --gpu H100 --model llama-3.1-8b -o fleet.toml
shadowprice fleet make --gpu A100-80GB --model ./config.json --tensor-parallel-size 4 --workers 3 -o fleet.toml
shadowprice fleet make --gpu H200 --model llama-3.1-70b --tensor-parallel-size 4 --step-time measured"""


@fleet_app.command("list", epilog="Example: shadowprice fleet list")
def list_known(as_json: AsJson = False) -> None:
    """List fleet presets, GPUs and models."""
    from shadowprice.cli.fleet_tables import print_known
    from shadowprice.fleet import GPUS, MODELS, PRESETS

    if as_json:
        print(json.dumps({"presets": list(PRESETS), "gpus": list(GPUS), "models": list(MODELS)}))
    else:
        print_known()


@fleet_app.command("show", epilog="Example: shadowprice fleet show llama-3.1-8b-h100")
def show(
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="A fleet file (TOML) or the name of a preset.")],
    as_json: AsJson = False,
) -> None:
    """Show what a fleet holds and how fast it steps, and where each number came from."""
    from shadowprice.cli.fleet_tables import print_fleet
    from shadowprice.fleet import read_fleet
    from shadowprice.fleet.describe import describe

    description = describe(read_fleet(fleet))
    if as_json:
        print(json.dumps(description))
    else:
        print_fleet(description)


@dataclass(frozen=True)
class MakeFlags:
    """What `shadowprice fleet make` can be asked."""

    gpu: Annotated[str, typer.Option(help="Name of a GPU (shadowprice fleet list).")]
    model: Annotated[str, typer.Option(help="Name of a model, or a Hugging Face config.json (file or folder).")]
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; stdout without it.")] = None
    name: Annotated[str | None, typer.Option(help="Name of the fleet (default: made of model and GPU).")] = None
    workers: Annotated[int, typer.Option(help="Replicas of the model.")] = 1
    dtype: Annotated[
        str | None, typer.Option(help="Weight format: bf16, fp8, int4, nvfp4, mxfp4 (default: the model's).")
    ] = None
    tensor_parallel_size: Annotated[int, typer.Option(help="GPUs of one worker.")] = 1
    gpu_memory_utilization: Annotated[float, typer.Option(help="Share of GPU memory that the engine takes.")] = 0.9
    kv_cache_dtype: Annotated[str, typer.Option(help="Format of the KV cache: bf16 or fp8.")] = "bf16"
    max_num_seqs: Annotated[
        int | None, typer.Option(help="Most sequences running at once (default: vLLM's on that GPU).")
    ] = None
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(help="Most tokens computed in one step (default: vLLM's on that GPU).")
    ] = None
    kv_tokens: Annotated[int | None, typer.Option(help="KV tokens of a worker (default: what fits).")] = None
    context_tokens: Annotated[
        int | None, typer.Option(help="Typical context of a request; more fits in sliding-window models.")
    ] = None
    block_size: Annotated[int, typer.Option(help="Tokens of a KV block.")] = 16
    step_time: Annotated[str, typer.Option(help="Source of the step time: roofline or measured.")] = "roofline"
    backend: Annotated[str | None, typer.Option(help="Engine whose kernels were measured: vllm, sglang or trtllm.")] = (
        None
    )
    as_json: AsJson = False


def make(asked: MakeFlags) -> None:
    """Make a fleet file from a GPU and a model."""
    from shadowprice.fleet.describe import describe
    from shadowprice.fleet.files import fleet_from, fleet_toml, write_fleet

    model, gpu, output = asked.model, asked.gpu, asked.output
    is_path = Path(model).exists() or model.startswith((".", "/")) or model.endswith(".json")
    document: dict[str, Any] = {
        "name": asked.name,
        "workers": asked.workers,
        "model": {"config" if is_path else "name": model, "dtype": asked.dtype},
        "gpu": {"name": gpu},
        "worker": {
            "tensor_parallel_size": asked.tensor_parallel_size,
            "gpu_memory_utilization": asked.gpu_memory_utilization,
            "kv_cache_dtype": asked.kv_cache_dtype,
            "max_num_seqs": asked.max_num_seqs,
            "max_num_batched_tokens": asked.max_num_batched_tokens,
            "kv_tokens": asked.kv_tokens,
            "context_tokens": asked.context_tokens,
            "block_size": asked.block_size,
        },
        "step_time": {"source": asked.step_time, "backend": asked.backend},
    }
    many = f"{asked.tensor_parallel_size}x" if asked.tensor_parallel_size > 1 else ""
    default_name = f"{Path(model).stem if is_path else model}-{many}{gpu}".lower()
    fleet = fleet_from(_said(document), Path(), default_name)
    if output is not None:
        write_fleet(fleet, output)
    if asked.as_json:
        print(json.dumps(describe(fleet)))
    elif output is None:
        print(fleet_toml(fleet), end="")
    else:
        typer.echo(f"wrote {output}: {fleet.name}, {fleet.worker.kv_tokens:,} KV tokens per worker", err=True)


def _said(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the options that nobody gave."""
    return {k: _said(v) if isinstance(v, dict) else v for k, v in document.items() if v is not None}


fleet_app.command("make", epilog=MAKE_EPILOG)(spread(make))
fleet_app.command("fit", epilog=FIT_EPILOG)(spread(fit))
