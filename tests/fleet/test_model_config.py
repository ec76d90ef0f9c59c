"""Reading Hugging Face config.json files: every architecture, and every kind of bad file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadowprice.errors import FleetError
from shadowprice.fleet import MODELS, read_fleet, read_model, write_fleet
from shadowprice.fleet.files import fleet_from

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}  # fmt: skip
MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "sliding_window": None, "torch_dtype": "bfloat16",
}  # fmt: skip
QWEN3_MOE = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768,
    "vocab_size": 151936, "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "attention_bias": False, "sliding_window": None, "use_sliding_window": False,
}  # fmt: skip
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128,
    "num_key_value_heads": 128, "intermediate_size": 18432, "moe_intermediate_size": 2048, "vocab_size": 129280,
    "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
    "moe_layer_freq": 1, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "num_nextn_predict_layers": 1,
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "vocab_size": 201088,
    "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128, "attention_bias": True,
    "layer_types": ["sliding_attention", "full_attention"] * 12, "quantization_config": {"quant_method": "mxfp4"},
}  # fmt: skip
GEMMA_2 = {
    "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 14336, "vocab_size": 256000,
    "sliding_window": 4096,
}  # fmt: skip
GEMMA_3 = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "hidden_size": 5376, "num_hidden_layers": 62, "num_attention_heads": 32,
        "num_key_value_heads": 16, "head_dim": 128, "intermediate_size": 21504, "sliding_window": 1024,
        "sliding_window_pattern": 6, "vocab_size": 262208,
    },
    "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27},
}  # fmt: skip
LLAMA_4_SCOUT = {
    "model_type": "llama4",
    "text_config": {
        "model_type": "llama4_text", "hidden_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 40,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
        "vocab_size": 202048, "num_local_experts": 16, "num_experts_per_tok": 1, "interleave_moe_layer_step": 1,
        "attention_chunk_size": 8192,
    },
}  # fmt: skip
GPT_2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}


def write(folder: Path, config: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("config", "preset"),
    [
        (LLAMA, "llama-3.1-8b"),
        (MIXTRAL, "mixtral-8x7b"),
        (QWEN3_MOE, "qwen3-30b-a3b"),
        (DEEPSEEK_V3, "deepseek-v3"),
        (GPT_OSS, "gpt-oss-20b"),
        (GEMMA_2, "gemma-2-9b"),
    ],
)
def test_config_of_a_published_model_gives_its_preset(config: dict[str, Any], preset: str, tmp_path: Path) -> None:
    folder = tmp_path / preset
    folder.mkdir()
    write(folder, config)
    assert read_model(folder) == MODELS[preset]  # the name is the folder's


def test_gemma_3_has_one_full_layer_in_six_and_a_vision_tower(tmp_path: Path) -> None:
    model = read_model(write(tmp_path, GEMMA_3))
    assert (model.num_sliding_layers, model.sliding_window, model.tie_word_embeddings) == (52, 1024, True)
    assert model.other_parameters == 27 * (4 * 1152**2 + 2 * 1152 * 4304)
    assert model.parameters == pytest.approx(27.4e9, rel=0.005)


def test_llama_4_has_shared_experts_and_chunked_layers(tmp_path: Path) -> None:
    model = read_model(write(tmp_path, LLAMA_4_SCOUT))
    assert model.num_sliding_layers == 36
    assert model.parameters == pytest.approx(107.8e9, rel=0.005)  # published 109 with its vision tower
    assert model.active_parameters == pytest.approx(17.2e9, rel=0.005)


def test_gpt_2_has_plain_mlps_and_tied_embeddings(tmp_path: Path) -> None:
    # 124.4e6 published, of which 0.8e6 are learned positions and 0.1e6 biases outside the attention.
    assert read_model(write(tmp_path, GPT_2)).parameters == pytest.approx(124e6, rel=0.01)


@pytest.mark.parametrize(
    ("quantisation", "dtype"),
    [
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}},
            "int4",
        ),
    ],
)
def test_quantisation_gives_the_weight_format(quantisation: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    assert read_model(write(tmp_path, LLAMA | {"quantization_config": quantisation})).dtype == dtype


def test_quantisation_beside_the_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert read_model(write(tmp_path, LLAMA)).dtype == "fp8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "4096"}, "hidden_size is '4096'; expected a whole number"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"num_attention_heads": 33}, "head_dim is missing, and hidden_size 4096 is no multiple of 33"),
        ({"torch_dtype": "bfloat61"}, "torch_dtype is 'bfloat61'; accepted: bfloat16"),
        ({"quantization_config": {"quant_method": "magic"}}, "quant_method is 'magic'; accepted"),
        ({"quantization_config": [1]}, r"quantization_config is \[1\]; expected an object"),
        ({"layer_types": ["full_attention", "linear_attention"]}, r"layer_types\[1\] is 'linear_attention'; accepted"),
        ({"layer_types": "all"}, "layer_types is 'all'; expected a list"),
        ({"ssm_state_size": 128}, "ssm_state_size is 128; expected a model whose layers are plain"),
        ({"index_topk": 2048}, "index_topk is 2048"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder is true"),
        ({"num_local_experts": 8}, "num_experts_per_tok is missing"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'; expected true or false"),
        ({"text_config": 3}, "text_config is 3; expected an object"),
    ],
)  # fmt: skip
def test_bad_fields_are_named_with_the_file(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, LLAMA | change)
    with pytest.raises(FleetError, match=message) as caught:
        read_model(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\xff", "[" * 100_000])
def test_files_that_are_no_json_object_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FleetError, match=r"config\.json: "):
        read_model(path)


def test_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="no such file"):
        read_model(tmp_path)


CONFIGS = (LLAMA, MIXTRAL, QWEN3_MOE, DEEPSEEK_V3, GPT_OSS, GEMMA_2, GEMMA_3, LLAMA_4_SCOUT, GPT_2)
KEYS = sorted(
    {key for config in CONFIGS for key in (*config, *config.get("text_config", {}))} | {"sliding_window_pattern"}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=st.sampled_from(CONFIGS), change=st.dictionaries(st.sampled_from(KEYS), JSON, min_size=1, max_size=4))
def test_no_config_escapes_as_another_error(base: dict[str, Any], change: dict[str, Any], tmp_path: Path) -> None:
    try:
        model = read_model(write(tmp_path, base | change))
    except FleetError:
        return
    assert model.parameters > 0 and model.kv_bytes_per_token() > 0


@pytest.mark.parametrize(
    "kind", ["rwkv7", "zamba2", "deepseek_v4", "mllama_text_model", "diffllama", "zaya", "t5", "whisper"]
)
def test_a_type_that_nobody_knows_is_refused_with_the_way_on(kind: str, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=rf"model_type is '{kind}', which is not known") as caught:
        read_model(write(tmp_path, LLAMA | {"model_type": kind}))
    assert "[model]" in str(caught.value) and "--kv-tokens" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_experts_total", 64),
        ("moe_num_experts", 64),
        ("residual_moe", True),
        ("full_attention_interval", 4),
        ("layer_group_size", 5),
        ("hybrid_layer_pattern", [0, 1]),
        ("attn_type_list", [0, 1]),
        ("block_configs", [{"attention": {}}]),
        ("attention_window_size", 2048),
        ("mamba_d_state", 16),
        ("mamba_num_heads", 128),
        ("linear_attn_config", {"num_heads": 4}),
        ("multi_query_group_num", 2),
        ("num_attention_groups", 1),
        ("index_n_heads", 64),
        ("sparse_attention_config", {"topk": 64}),
        ("compress_ratios", [4, 128]),
        ("num_shared_experts", 1),
        ("ffn_hidden_size", 13696),
        ("kv_channels", 64),
        ("lru_width", 4096),
        ("num_memory_slots", 12),
        ("loop_num", 2),
        ("per_layer_width", [1, 2]),
    ],
)
def test_a_field_that_says_something_of_the_layers_is_never_passed_over(key: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=f"{key} is "):
        read_model(write(tmp_path, LLAMA | {key: value}))


def test_fields_that_say_nothing_of_the_layers_are_passed_over(tmp_path: Path) -> None:
    more = {
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 5e5, "rope_scaling": {"factor": 8.0},
        "bos_token_id": 1,
        "attention_dropout": 0.0, "initializer_range": 0.02, "pretraining_tp": 1, "use_cache": True, "mlp_bias": False,
        "max_position_embeddings": 131072, "transformers_version": "4.43", "_attn_implementation": "sdpa",
        "num_nextn_predict_layers": 1, "head_bias": False, "auto_map": {"AutoConfig": "x"},
    }  # fmt: skip
    folder = tmp_path / "llama-3.1-8b"
    folder.mkdir()
    write(folder, LLAMA | more)
    assert read_model(folder) == MODELS["llama-3.1-8b"]


def test_heads_by_layer_and_shared_layers_are_read_for_every_type(tmp_path: Path) -> None:
    some = LLAMA | {"num_key_value_heads_per_layer": [8] * 16 + [2] * 16}
    assert read_model(write(tmp_path, some)).kv_bytes_per_token() == 16 * (8 + 2) * 2 * 128 * 2
    shared = LLAMA | {"use_cla": True, "cla_share_factor": 4}
    assert read_model(write(tmp_path, shared)).kv_bytes_per_token() == 8 * 8 * 2 * 128 * 2


@pytest.mark.parametrize(
    "nesting",
    [("text_config",), ("llm_config",), ("language_config",), ("thinker_config", "text_config"), ("language_model",)],
)
def test_the_decoder_is_found_where_it_is_nested(nesting: tuple[str, ...], tmp_path: Path) -> None:
    config: dict[str, Any] = LLAMA
    for key in reversed(nesting):
        config = {"model_type": "sees_and_hears", key: config}
    folder = tmp_path / "llama-3.1-8b"
    folder.mkdir()
    write(folder, config)
    assert read_model(folder) == MODELS["llama-3.1-8b"]


def test_a_model_of_layers_of_several_kinds_survives_a_fleet_file(tmp_path: Path) -> None:
    for i, config in enumerate((LLAMA | {"num_key_value_heads_per_layer": [8] * 16 + [2] * 16}, GEMMA_3)):
        (tmp_path / str(i)).mkdir()
        fleet = fleet_from(
            {"model": {"config": str(write(tmp_path / str(i), config))}, "gpu": {"name": "H100"}}, tmp_path, "x"
        )
        write_fleet(fleet, tmp_path / "fleet.toml")
        assert read_fleet(tmp_path / "fleet.toml") == fleet
