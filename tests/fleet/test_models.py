"""Parameters, bytes and operations follow from the shape."""

from dataclasses import replace

import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import MODELS
from shadowprice.fleet.model_presets import model_by_name

# Published by the models' authors (model cards and technical reports), in billions.
PUBLISHED = {
    "llama-3.1-8b": 8.03,
    "llama-3.1-70b": 70.6,
    "llama-3.1-405b": 405.9,
    "llama-3.2-1b": 1.24,
    "llama-3.2-3b": 3.21,
    "mistral-7b": 7.25,
    "qwen2.5-7b": 7.62,
    "qwen2.5-72b": 72.7,
    "qwen3-8b": 8.19,
    "qwen3-14b": 14.8,
    "qwen3-32b": 32.8,
    "qwen3-30b-a3b": 30.5,
    "qwen3-235b-a22b": 235.0,
    "mixtral-8x7b": 46.7,
    "mixtral-8x22b": 140.6,
    "deepseek-v3": 671.0,
    "deepseek-v2-lite": 15.7,
    "gpt-oss-20b": 20.9,
    "gpt-oss-120b": 116.8,
    "gemma-2-9b": 9.24,
    "gemma-2-27b": 27.2,
    "gemma-3-27b": 27.4,
}
# Active per token, as published; gpt-oss's card leaves the input embedding out, the others count it.
PUBLISHED_ACTIVE = {
    "mixtral-8x7b": 12.9,
    "mixtral-8x22b": 39.1,
    "deepseek-v3": 37.0,
    "qwen3-30b-a3b": 3.3,
    "qwen3-235b-a22b": 22.0,
}
PUBLISHED_MULTIPLIED = {"gpt-oss-20b": 3.61, "gpt-oss-120b": 5.13}


def test_every_preset_has_a_published_total() -> None:
    assert set(PUBLISHED) == set(MODELS)


@pytest.mark.parametrize(("name", "billions"), PUBLISHED.items())
def test_parameters_match_the_published_total_within_half_a_percent(name: str, billions: float) -> None:
    assert MODELS[name].parameters == pytest.approx(billions * 1e9, rel=0.005)


@pytest.mark.parametrize(("name", "billions"), PUBLISHED_ACTIVE.items())
def test_active_parameters_match_the_published_figure_within_two_percent(name: str, billions: float) -> None:
    assert MODELS[name].active_parameters == pytest.approx(billions * 1e9, rel=0.02)


@pytest.mark.parametrize(("name", "billions"), PUBLISHED_MULTIPLIED.items())
def test_multiplied_parameters_match_gpt_oss_which_leaves_the_input_embedding_out(name: str, billions: float) -> None:
    assert MODELS[name].multiplied_parameters == pytest.approx(billions * 1e9, rel=0.005)


def test_llama_8b_parameters_are_exact() -> None:
    assert MODELS["llama-3.1-8b"].parameters == 8_030_261_248


def test_kv_bytes_per_token_of_grouped_queries_and_of_latent_attention() -> None:
    assert MODELS["llama-3.1-8b"].kv_bytes_per_token() == 2 * 32 * 8 * 128 * 2
    assert MODELS["llama-3.1-8b"].kv_bytes_per_token("fp8") == 2 * 32 * 8 * 128
    assert MODELS["deepseek-v3"].kv_bytes_per_token() == 61 * (512 + 64) * 2


def test_kv_heads_are_divided_over_gpus_but_never_below_one_and_latent_vectors_are_not() -> None:
    llama, deepseek = MODELS["llama-3.1-70b"], MODELS["deepseek-v3"]
    assert llama.kv_bytes_per_token_per_gpu("bf16", 4) == llama.kv_bytes_per_token() / 4
    assert llama.kv_bytes_per_token_per_gpu("bf16", 16) == llama.kv_bytes_per_token() / 8
    assert deepseek.kv_bytes_per_token_per_gpu("bf16", 8) == deepseek.kv_bytes_per_token()


def test_sliding_layers_keep_their_window_only() -> None:
    gemma = MODELS["gemma-3-27b"]
    assert gemma.kv_bytes(1024) == 1024 * gemma.kv_bytes_per_token()
    per_layer = gemma.kv_bytes_per_token() / 62
    assert gemma.kv_bytes(10_000) == (52 * 1024 + 10 * 10_000) * per_layer
    assert MODELS["llama-3.1-8b"].kv_bytes(10_000) == 10_000 * MODELS["llama-3.1-8b"].kv_bytes_per_token()


def test_weights_of_quantised_checkpoints_match_their_published_size() -> None:
    assert MODELS["llama-3.1-8b"].weight_bytes() == 2 * 8_030_261_248
    # Download sizes: gpt-oss-20b 13.8 GB and gpt-oss-120b 65.2 GB (mxfp4), Llama-3.1-8B in int4 (AWQ) 5.73 GB and in
    # fp8 9.08 GB.
    assert MODELS["gpt-oss-20b"].weight_bytes() == pytest.approx(13.76e9, rel=0.01)
    assert MODELS["gpt-oss-120b"].weight_bytes() == pytest.approx(65.25e9, rel=0.01)
    assert MODELS["llama-3.1-8b"].weight_bytes("int4") == pytest.approx(5.73e9, rel=0.01)
    assert MODELS["llama-3.1-8b"].weight_bytes("fp8") == pytest.approx(9.08e9, rel=0.01)


def test_operations_per_token_are_twice_the_multiplied_parameters_and_grow_with_context() -> None:
    llama = MODELS["llama-3.1-8b"]
    assert llama.flops_per_token() == 2 * llama.multiplied_parameters
    assert llama.flops_per_token(logits=False) == llama.flops_per_token() - 2 * 128256 * 4096
    # Scores and weighted values: 2 products of head_dim for each head, layer and token of context.
    assert llama.flops_per_token(1000) - llama.flops_per_token() == 4 * 32 * 32 * 128 * 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 0}, "model.hidden_size is 0"),
        ({"num_key_value_heads": 64}, "num_key_value_heads is 64, more than num_attention_heads"),
        ({"dtype": "bf61"}, "did you mean 'bf16'"),
        ({"num_moe_layers": 3}, "num_experts is 0"),
        ({"num_sliding_layers": 3}, "sliding_window is 0"),
        ({"kv_lora_rank": 3}, "qk_rope_head_dim is 0"),
        ({"intermediate_size": 0}, "intermediate_size is 0"),
    ],
)
def test_impossible_shapes_are_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(FleetError, match=message):
        replace(MODELS["llama-3.1-8b"], **change)  # type: ignore[arg-type]


def test_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(FleetError, match=r"did you mean 'llama-3\.1-8b'"):
        model_by_name("llama3.1-8b")
