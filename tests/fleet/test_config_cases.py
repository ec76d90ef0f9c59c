"""Config files of public models as they were reported: each is read as it is, and none as something plainer."""

from pathlib import Path

import pytest

from shadowprice.fleet import read_model

CASES = Path(__file__).parents[3] / "shared" / "cases" / "configs"
# name: KV bytes per token in bf16, parameters in 1e9
EXPECTED = {
    "glm-4-9b-chat": (40_960, 9.4),
    "step3-text": (62_464, 316),
    "ernie-4.5-21b-a3b": (57_344, 21.8),
    "hunyuan-7b-cla": (65_536, 7.4),
    "ring-mini-linear": (8_192, 16.4),
    "recurrentgemma-9b": (12_288, 8.6),
    "decilm-7b": (38_912, 7.0),
    "gemma-3-12b-it": (393_216, 12.2),
    "gemma-3-4b-it": (139_264, 4.3),
    "kimi-k2-thinking": (70_272, 1026),
    "grok-2": (262_144, 270),
    "apertus-8b": (131_072, 8.05),
    "qwen1-7b": (524_288, 7.7),
    "ling-flash-2.0": (65_536, 103),
    "qwen3-omni-thinker": (48 * 2 * 4 * 128 * 2, 30.5),
    "deepseek-vl2": (30 * 576 * 2, 27.0),
    "llama-bnb-4bit": (131_072, 8.03),
    "exaone-4-32b-nolayertypes": (64 * 2 * 8 * 128 * 2, 32.0),
    "qwen3-next-80b": (12 * 2 * 2 * 256 * 2, 79.7),
    "nemotron-h-8b": (4 * 2 * 8 * 128 * 2, 8.1),
    "deepseek-v3.2": (61 * (576 * 2 + 132), 672),
    "deepseek-v3": (70_272, 671),
    "gpt-oss-120b": (73_728, 116.8),
    "glm-4.5-air": (188_416, 106.9),
    "gemma-3-27b-it": (507_904, 27.4),
}

pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the cases are not beside this checkout")


def test_every_case_has_its_row() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_a_reported_config_has_the_right_kv_and_parameters(name: str, expected: tuple[int, float]) -> None:
    model = read_model(CASES / f"{name}.json")
    assert model.kv_bytes_per_token() == expected[0]
    assert model.parameters == pytest.approx(expected[1] * 1e9, rel=0.01)


def test_sliding_layers_without_a_list_follow_the_letters() -> None:
    model = read_model(CASES / "exaone-4-32b-nolayertypes.json")
    assert (model.num_sliding_layers, model.sliding_window) == (48, 4096)


def test_experts_alone_are_in_four_bits_where_the_ignore_list_says_so() -> None:
    kimi = read_model(CASES / "kimi-k2-thinking.json")
    assert kimi.dtype == "int4" and dict(kimi.part_bits)["experts"] == 4.5  # 4 bits, and 16 for 32 of them
    assert kimi.weight_bytes() / 2**30 == pytest.approx(553, rel=0.002)


def test_bitsandbytes_keeps_a_scale_of_32_bits_for_64_weights() -> None:
    model = read_model(CASES / "llama-bnb-4bit.json")
    layers = model.parameters - 2 * model.embedding_parameters
    assert model.weight_bytes() == pytest.approx(layers * 4.5 / 8 + 4 * model.embedding_parameters)


def test_states_are_those_that_the_engine_keeps() -> None:
    # 36 layers x (8192 channels x 3 steps x 2 bytes + 32 heads x 128 x 128 x 2 bytes)
    assert read_model(CASES / "qwen3-next-80b.json").state_bytes() == 36 * (8192 * 3 * 2 + 32 * 128 * 128 * 2)
    # 24 layers x (10240 channels x 3 steps x 2 bytes + 128 heads x 64 x 128 x 4 bytes)
    assert read_model(CASES / "nemotron-h-8b.json").state_bytes() == 24 * (10240 * 3 * 2 + 128 * 64 * 128 * 4)


def test_sparse_attention_keeps_all_and_reads_a_fixed_number_and_its_index() -> None:
    model = read_model(CASES / "deepseek-v3.2.json")
    assert model.kv_bytes(100_000) == 61 * 100_000 * (576 * 2 + 132)
    assert model.read_bytes(100_000) == 61 * (2048 * 576 * 2 + 100_000 * 132)
