"""KV tokens that fit, against what vLLM logged."""

from dataclasses import replace

import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import GPUS, MODELS
from shadowprice.fleet.gpus import GIB
from shadowprice.fleet.memory import memory_of


def test_llama_8b_on_an_h100_has_the_kv_memory_that_vllm_reported() -> None:
    """vLLM pull request 10511: Meta-Llama-3-8B on H100, 14.96 GiB of weights, 53.29 GiB left for KV."""
    memory = memory_of(GPUS["H100"], MODELS["llama-3.1-8b"])
    assert memory.share / GIB == pytest.approx(71.29, rel=0.001)
    assert memory.weights / GIB == pytest.approx(14.96, rel=0.001)
    assert memory.kv_tokens * 128 * 1024 / GIB == pytest.approx(53.29, rel=0.03)


def test_two_gpus_hold_half_the_weights_and_half_of_each_token() -> None:
    """The same log with two GPUs: 7.48 GiB of weights each."""
    memory = memory_of(GPUS["H100"], MODELS["llama-3.1-8b"], tensor_parallel_size=2)
    assert memory.weights / GIB == pytest.approx(7.48, rel=0.001)
    assert memory.kv_bytes_per_token == 64 * 1024


def test_what_is_counted_never_exceeds_the_share() -> None:
    for gpu in GPUS.values():
        for model in MODELS.values():
            memory = memory_of(gpu, model, tensor_parallel_size=4)
            if memory.kv_tokens:
                used = memory.weights + memory.reserve + memory.kv_tokens * memory.kv_bytes_per_token
                assert used <= memory.share < gpu.hbm_bytes


def test_fp8_kv_cache_holds_twice_the_tokens() -> None:
    model = MODELS["llama-3.1-8b"]
    bf16, fp8 = (memory_of(GPUS["H100"], model, kv_cache_dtype=d).kv_tokens for d in ("bf16", "fp8"))
    assert fp8 == pytest.approx(2 * bf16, abs=2)


def test_long_context_fits_more_tokens_in_sliding_layers_and_only_there() -> None:
    h100, gpt = GPUS["H100"], MODELS["gpt-oss-20b"]
    short, long = (memory_of(h100, gpt, context_tokens=n).kv_tokens for n in (128, 100_000))
    assert short == memory_of(h100, gpt).kv_tokens
    assert long == pytest.approx(2 * short, rel=0.01)  # half of the layers slide
    plain = replace(gpt, sliding_window=0, num_sliding_layers=0)
    assert memory_of(h100, plain, context_tokens=100_000) == memory_of(h100, plain)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(FleetError, match="tensor_parallel_size is 3; expected a divisor"):
        memory_of(GPUS["H100"], MODELS["llama-3.1-8b"], tensor_parallel_size=3)
