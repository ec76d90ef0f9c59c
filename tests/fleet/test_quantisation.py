"""Quantised checkpoints: every tool's config gives the bits of every part."""

from typing import Any

import pytest

from shadowprice.errors import FleetError
from shadowprice.fleet import MODELS
from shadowprice.fleet.model_config import model_from_config
from shadowprice.fleet.models import Model

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
MOE = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768,
    "vocab_size": 151936, "num_experts": 128, "num_experts_per_tok": 8,
}  # fmt: skip


def quantised(config: dict[str, Any], base: dict[str, Any] = LLAMA) -> Model:
    return model_from_config(base | {"quantization_config": config}, "quantised")


def group(bits: int, kind: str = "int", size: int | None = None, targets: Any = ("Linear",)) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "group_size": size, "strategy": "group" if size else "channel"}
    return {"targets": list(targets), "weights": weights}


@pytest.mark.parametrize(
    ("config", "dtype", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "int4", 4.125),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, "int4", 4.25),
        ({"quant_method": "awq_marlin", "bits": 4, "group_size": 32}, "int4", 4.5),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4", 4.5),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "int4", 4.0),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "int8", 8.0),
        ({"quant_method": "gptq", "bits": 3, "group_size": 128}, "int4", 3.125),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8.0),
        ({"quant_method": "fbgemm_fp8"}, "fp8", 8.0),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", 4.5),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "int4", 4.127),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 8.0),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True, "data_type": "int"}, "int4", 4.125),
        ({"quant_method": "intel/auto-round", "bits": 2, "group_size": 32}, "int4", 2.5),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 16, "data_type": "nv_fp"}, "nvfp4", 4.5),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}}, "fp8", 8.0),
        (
            {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int4", "group_size": 128}}},
            "int4",
            4.125,
        ),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", 8.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, "nvfp4", 4.5),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "W4A16_AWQ", "group_size": 64}}, "int4", 4.25),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": group(8, "float")}}, "fp8", 8.0),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": group(4, size=64)}}, "int4", 4.25),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": group(4, "float", 16)}}, "nvfp4", 4.5),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": group(8)}}, "int8", 8.0),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, "int4", 4.5),
    ],
)
def test_every_method_gives_bits_of_the_layers_and_leaves_embedding_and_head(
    config: dict[str, Any], dtype: str, bits: float
) -> None:
    model = quantised(config)
    found = model.bits()
    assert model.dtype == dtype
    assert found["attention"] == pytest.approx(bits, abs=1e-3) and found["mlp"] == pytest.approx(bits, abs=1e-3)
    assert found["embedding"] == found["head"] == 16.0
    layers = model.parameters - 2 * model.embedding_parameters
    assert model.weight_bytes() == pytest.approx(layers * bits / 8 + 4 * model.embedding_parameters, rel=1e-3)


def test_what_a_list_leaves_alone_stays_at_16_bits_layer_by_layer() -> None:
    down = [f"model.layers.{i}.mlp.down_proj" for i in range(16)]  # of half the layers
    for key, method in (("modules_to_not_convert", "awq"), ("ignored_layers", "fp8")):
        bits = quantised({"quant_method": method, "bits": 8, "group_size": -1, key: down}).bits()
        assert bits["attention"] == 8.0
        assert bits["mlp"] == pytest.approx(8.0 + 8.0 / 6)  # one projection of three, half of the layers
    skip = quantised({"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["self_attn"]})
    assert (skip.bits()["attention"], skip.bits()["mlp"]) == (16.0, 8.0)


def test_a_pattern_finds_experts_whatever_the_house_calls_them() -> None:
    for pattern in ("re:.*experts.*", "re:.*mlp\\.experts\\..*", "*.mlp.experts*"):
        config = {"quant_method": "compressed-tensors", "config_groups": {"a": group(8, "float")}, "ignore": [pattern]}
        bits = quantised(config, MOE).bits()
        assert (bits["experts"], bits["attention"], bits["router"]) == (16.0, 8.0, 16.0)


def test_groups_of_targets_have_formats_of_their_own() -> None:
    groups = {
        "attention": group(8, "float", targets=["re:.*self_attn.*"]),
        "experts": group(4, size=32, targets=["re:.*experts.*"]),
    }
    bits = quantised({"quant_method": "compressed-tensors", "config_groups": groups}, MOE).bits()
    assert (bits["attention"], bits["experts"], bits["head"]) == (8.0, 4.5, 16.0)


def test_mixed_precision_and_layers_of_their_own_are_means_over_the_layers() -> None:
    own = {f"model.layers.{i}.self_attn": {"bits": 8, "group_size": -1} for i in range(32)}
    bits = quantised({"quant_method": "auto-round", "bits": 4, "group_size": -1, "extra_config": own}).bits()
    assert (bits["attention"], bits["mlp"]) == (8.0, 4.0)
    dynamic = {"-:.*self_attn.*": {}, "+:.*down_proj.*": {"bits": 8}}
    bits = quantised({"quant_method": "gptq", "bits": 4, "group_size": -1, "dynamic": dynamic}).bits()
    assert (bits["attention"], bits["mlp"]) == (16.0, pytest.approx((4 + 4 + 8) / 3))
    layers = {
        f"model.layers.{i}.mlp.{p}": {"quant_algo": "FP8"}
        for i in range(32)
        for p in ("gate_proj", "up_proj", "down_proj")
    }
    bits = quantised({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}).bits()
    assert (bits["attention"], bits["mlp"]) == (16.0, 8.0)
    quark = {
        "quant_method": "quark",
        "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}},
        "exclude": ["lm_head", "*self_attn*"],
    }
    bits = quantised(quark).bits()
    assert (bits["attention"], bits["mlp"]) == (16.0, 8.0)


def test_another_format_in_the_fleet_file_is_one_for_all_parts() -> None:
    assert MODELS["llama-3.1-8b"].bits("fp8")["attention"] == 8.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quant_method": "aqlm"}, "'aqlm'; accepted: awq, gptq, fp8, .*bitsandbytes, auto-round, quark"),
        ({"bits": 4}, "quant_method is 'missing'; accepted"),
        ({"quant_method": "bitsandbytes"}, "neither load_in_4bit nor load_in_8bit"),
        ({"quant_method": "awq", "bits": 16}, "bits is 16; accepted: 2 to 8"),
        ({"quant_method": "gptq", "bits": 4, "group_size": "all"}, "group_size is 'all'"),
        ({"quant_method": "modelopt", "quant_algo": "FP3"}, "quant_algo is 'FP3'; accepted: FP8"),
        ({"quant_method": "compressed-tensors"}, "config_groups is missing"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": group(3, "float")}}, r"are of \(3, 'float'\)"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int3"}}}, "dtype is 'int3'; accepted"),
        ({"quant_method": "fp8", "ignored_layers": "all"}, "ignored_layers is all; expected a list"),
        ({"quant_method": "fp8", "ignored_layers": ["re:("]}, "has the pattern 're:\\('"),
    ],
)  # fmt: skip
def test_formats_that_nobody_knows_are_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(FleetError, match=message):
        quantised(config)
