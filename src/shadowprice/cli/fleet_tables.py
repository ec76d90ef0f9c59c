"""Terminal tables of `shadowprice fleet`."""

from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from shadowprice.cli.output import show
from shadowprice.fleet import GPUS, MODELS, PRESETS
from shadowprice.fleet.gpus import GIB


def print_known() -> None:
    """The presets, GPUs and models that a fleet file can name."""
    show(f"Fleet presets: {', '.join(PRESETS)}", "")
    gpus = _table("GPU", "memory GiB", "TB/s", "bf16 TFLOP/s", "fp8 TFLOP/s", "peak W")
    for gpu in GPUS.values():
        fp8 = f"{gpu.fp8_flops_per_s / 1e12:,.0f}" if gpu.fp8_flops_per_s else "-"
        rates = (f"{gpu.hbm_bandwidth_bytes_per_s / 1e12:.2f}", f"{gpu.bf16_flops_per_s / 1e12:,.0f}", fp8)
        gpus.add_row(gpu.name, f"{gpu.hbm_bytes / GIB:.1f}", *rates, f"{gpu.peak_power_w:,.0f}")
    models = _table("model", "params 1e9", "active 1e9", "weights GiB", "in", "KV KiB/token")
    for model in MODELS.values():
        sizes = (model.parameters / 1e9, model.active_parameters / 1e9, model.weight_bytes() / GIB)
        kv_kib = model.kv_bytes_per_token() / 1024
        models.add_row(model.name, *(f"{size:.2f}" for size in sizes), model.dtype, f"{kv_kib:.1f}")
    show(gpus, models)


def print_fleet(fleet: dict[str, Any]) -> None:
    """What `describe` says of a fleet."""
    gpu, model = fleet["gpu"], fleet["model"]
    parts = (
        f"{_plural(fleet['workers'], 'worker')} on {_plural(fleet['gpus_per_worker'], gpu['name'] if gpu else 'GPU')}"
    )
    show(f"{fleet['name']}: {parts}" + (f" each, {model['name']} in {model['dtype']}" if model else ""))
    show(_numbers(fleet))
    seconds = fleet["step_time"]
    show(
        f"Step time = {seconds['fixed_s'] * 1e3:.4g} ms + {seconds['per_sequence_s'] * 1e6:.4g} us x sequences + "
        f"{seconds['per_kv_token_s'] * 1e9:.4g} ns x KV tokens + {seconds['per_prefill_token_s'] * 1e6:.4g} us x "
        f"prefill tokens ({seconds['note']}), for example:"
    )
    steps = _table("sequences", "KV tokens", "prefill tokens", "step ms", "tokens/s")
    for step in fleet["steps"]:
        cells = (f"{step['sequences']:,}", f"{step['kv_tokens']:,}", f"{step['prefill_tokens']:,}")
        steps.add_row(*cells, f"{step['step_time_s'] * 1e3:.2f}", f"{step['tokens_per_s']:,.0f}")
    show(steps)


def _numbers(fleet: dict[str, Any]) -> Table:
    """One row for each number and where it came from."""
    table = Table("", "", "where from", box=SIMPLE, padding=(0, 0, 0, 1))
    table.columns[1].justify = "right"
    model, memory, worker = fleet["model"], fleet["memory"], fleet["worker"]
    if model:
        active = "" if model["num_experts"] == 0 else f" ({model['active_parameters'] / 1e9:.2f}e9 active)"
        table.add_row("parameters", f"{model['parameters'] / 1e9:.2f}e9{active}", "shape of the model")
        table.add_row(
            "KV per token", f"{model['kv_bytes_per_token'] / 1024:.1f} KiB", f"shape, {fleet['kv_cache_dtype']}"
        )
        if model["state_bytes_per_sequence"]:
            table.add_row("state per sequence", f"{model['state_bytes_per_sequence'] / 2**20:.1f} MiB", "shape")
    if memory:
        share = f"gpu_memory_utilization {fleet['gpu_memory_utilization']:g}"
        table.add_row("memory per GPU", f"{memory['share'] / GIB:.1f} GiB", share)
        table.add_row("  weights", f"{memory['weights'] / GIB:.1f} GiB", f"shape, {model['dtype']}")
        table.add_row("  reserve", f"{memory['reserve'] / GIB:.1f} GiB", "activations and runtime, estimated")
    table.add_row("KV tokens per worker", f"{worker['kv_tokens']:,}", _kv_origin(fleet))
    for name, origin in fleet["limits_from"].items():
        value = worker[name]
        table.add_row(name, str(value).lower() if isinstance(value, bool) else f"{value:,}", origin)
    for name, watts in fleet["worker_power"].items():
        if watts is not None:
            table.add_row(
                f"{name.split('_')[0]} power of a worker", f"{watts:,.0f} W", "fleet file, or data sheet of the GPU"
            )
    return table


def _kv_origin(fleet: dict[str, Any]) -> str:
    if not fleet["memory"]:
        return "given"
    fit = fleet["memory"]["kv_tokens"] // fleet["worker"]["block_size"] * fleet["worker"]["block_size"]
    return "what fits" if fleet["worker"]["kv_tokens"] == fit else f"given; {fit:,} would fit"


def _table(*columns: str) -> Table:
    """Names left, numbers right."""
    table = Table(*columns, box=SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[0].no_wrap = True
    return table


def _plural(count: int, word: str) -> str:
    return f"1 {word}" if count == 1 else f"{count} {word}{'s' if word.islower() else ''}"
