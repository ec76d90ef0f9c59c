"""Step time from measured kernels: the latency database of aiconfigurator-core (optional extra `oracle`)."""

import contextlib
import logging
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from shadowprice.errors import FleetError
from shadowprice.fleet.gpus import Gpu
from shadowprice.fleet.linear_fit import LinearFit, fit_step_time
from shadowprice.fleet.models import Model
from shadowprice.fleet.names import did_you_mean

# Our names for what the database calls systems and models. It knows other models too, but by configurations of its
# own: a shape that only has a similar name would be answered wrongly.
SYSTEMS = {
    "A100-80GB": "a100_sxm",
    "H100": "h100_sxm",
    "H200": "h200_sxm",
    "B200": "b200_sxm",
    "L40S": "l40s",
    "RTX-PRO-6000": "rtx_pro_6000_server",
}
MODEL_PATHS = {
    "llama-3.1-8b": "meta-llama/Meta-Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama/Meta-Llama-3.1-70B",
    "llama-3.1-405b": "meta-llama/Meta-Llama-3.1-405B",
    "qwen3-8b": "Qwen/Qwen3-8B",
    "qwen3-32b": "Qwen/Qwen3-32B",
    "qwen3-30b-a3b": "Qwen/Qwen3-30B-A3B",
    "qwen3-235b-a22b": "Qwen/Qwen3-235B-A22B",
    "deepseek-v3": "deepseek-ai/DeepSeek-V3",
    "gpt-oss-20b": "openai/gpt-oss-20b",
    "gpt-oss-120b": "openai/gpt-oss-120b",
}
BACKENDS = ("vllm", "sglang", "trtllm")


def measured_step_time(
    gpu: Gpu,
    model: Model,
    tensor_parallel_size: int = 1,
    kv_cache_dtype: str = "bf16",
    max_num_seqs: int = 256,
    backend: str = "vllm",
) -> tuple[LinearFit, str]:
    """Fit the step-time coefficients to the database's latencies (linear_fit.py), and name the source.

    Raises FleetError when the package is not installed (it says what to install) or has no measurements for this
    GPU, model and format.
    """
    engine = _compile(gpu, model, tensor_parallel_size, kv_cache_dtype, backend)

    def latency_s(sequences: int, context_tokens: int, prompt_tokens: int) -> float:
        if prompt_tokens == 0:
            return float(engine.decode_step_latency(sequences, context_tokens, 1)) / 1e3
        # The database gives the prompt and the decoding sequences one common length.
        return float(engine.mixed_step_latency(prompt_tokens, sequences, prompt_tokens, 1)) / 1e3

    with _answers(gpu, model, backend):
        fit = fit_step_time(latency_s, max_num_seqs)
    return fit, f"aiconfigurator-core {version('aiconfigurator-core')}, {backend}"


def _compile(gpu: Gpu, model: Model, gpus: int, kv_cache_dtype: str, backend: str) -> Any:
    try:
        from aiconfigurator_core.sdk.engine import EngineHandle
    except ImportError:
        raise FleetError(
            "step_time.source 'measured' needs the kernel database: pip install 'shadowprice[oracle]' "
            '(aiconfigurator-core, Linux x86-64, Python 3.11 to 3.13), or use source = "roofline"'
        ) from None
    if gpu.name not in SYSTEMS:
        raise FleetError(f"no measured kernels for GPU {gpu.name!r}; {did_you_mean(gpu.name, SYSTEMS)}")
    if model.name not in MODEL_PATHS:
        raise FleetError(f"no measured kernels for model {model.name!r}; {did_you_mean(model.name, MODEL_PATHS)}")
    if backend not in BACKENDS:
        raise FleetError(f"step_time.backend is {backend!r}; {did_you_mean(backend, BACKENDS)}")
    quantised = {"gemm_quant_mode": "fp8", "moe_quant_mode": "fp8"} if model.dtype == "fp8" else {}
    quantised = {} if model.name == "deepseek-v3" else quantised  # published in block-wise fp8, which is its default
    with _answers(gpu, model, backend):
        return EngineHandle.compile(
            MODEL_PATHS[model.name],
            SYSTEMS[gpu.name],
            backend,
            tp_size=gpus,
            moe_tp_size=gpus if model.num_experts else None,
            kvcache_quant_mode="fp8" if kv_cache_dtype == "fp8" else "bfloat16",
            **quantised,
        )


@contextlib.contextmanager
def _answers(gpu: Gpu, model: Model, backend: str) -> Iterator[None]:
    """Keep the database's notes about its tables off the terminal, and turn its refusals into FleetError."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            yield
    except Exception as error:  # it raises many kinds, for what it has not measured
        raise FleetError(
            f"aiconfigurator-core has no answer for {model.name} in {model.dtype} on {gpu.name} with {backend}: {error}"
        ) from None
    finally:
        logging.disable(disabled)
