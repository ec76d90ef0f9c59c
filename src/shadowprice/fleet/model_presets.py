"""Shapes of well-known open models, from the config.json that each publisher put on Hugging Face."""

from shadowprice.errors import FleetError
from shadowprice.fleet.models import Model
from shadowprice.fleet.names import did_you_mean

_PRESETS = (
    Model("llama-3.1-8b", 4096, 32, 32, 8, 128, 14336, 128256),
    Model("llama-3.1-70b", 8192, 80, 64, 8, 128, 28672, 128256),
    Model("llama-3.1-405b", 16384, 126, 128, 8, 128, 53248, 128256),
    Model("llama-3.2-1b", 2048, 16, 32, 8, 64, 8192, 128256, tie_word_embeddings=True),
    Model("llama-3.2-3b", 3072, 28, 24, 8, 128, 8192, 128256, tie_word_embeddings=True),
    Model("mistral-7b", 4096, 32, 32, 8, 128, 14336, 32768),
    Model("qwen2.5-7b", 3584, 28, 28, 4, 128, 18944, 152064, qkv_bias=True),
    Model("qwen2.5-72b", 8192, 80, 64, 8, 128, 29568, 152064, qkv_bias=True),
    Model("qwen3-8b", 4096, 36, 32, 8, 128, 12288, 151936),
    Model("qwen3-14b", 5120, 40, 40, 8, 128, 17408, 151936),
    Model("qwen3-32b", 5120, 64, 64, 8, 128, 25600, 151936),
    Model(
        "qwen3-30b-a3b", 2048, 48, 32, 4, 128, 6144, 151936,
        num_experts=128, num_experts_per_tok=8, num_moe_layers=48, moe_intermediate_size=768,
    ),
    Model(
        "qwen3-235b-a22b", 4096, 94, 64, 4, 128, 12288, 151936,
        num_experts=128, num_experts_per_tok=8, num_moe_layers=94, moe_intermediate_size=1536,
    ),
    Model(
        "mixtral-8x7b", 4096, 32, 32, 8, 128, 14336, 32000,
        num_experts=8, num_experts_per_tok=2, num_moe_layers=32, moe_intermediate_size=14336,
    ),
    Model(
        "mixtral-8x22b", 6144, 56, 48, 8, 128, 16384, 32768,
        num_experts=8, num_experts_per_tok=2, num_moe_layers=56, moe_intermediate_size=16384,
    ),
    Model(
        "deepseek-v3", 7168, 61, 128, 128, 128, 18432, 129280,
        num_experts=256, num_experts_per_tok=8, num_moe_layers=58, moe_intermediate_size=2048,
        shared_expert_intermediate_size=2048, kv_lora_rank=512, q_lora_rank=1536, qk_rope_head_dim=64,
        v_head_dim=128, dtype="fp8",
    ),
    Model(
        "deepseek-v2-lite", 2048, 27, 16, 16, 128, 10944, 102400,
        num_experts=64, num_experts_per_tok=6, num_moe_layers=26, moe_intermediate_size=1408,
        shared_expert_intermediate_size=2816, kv_lora_rank=512, qk_rope_head_dim=64, v_head_dim=128,
    ),
    Model(
        "gpt-oss-20b", 2880, 24, 64, 8, 64, 2880, 201088, qkv_bias=True,
        num_experts=32, num_experts_per_tok=4, num_moe_layers=24, moe_intermediate_size=2880,
        sliding_window=128, num_sliding_layers=12, dtype="mxfp4",
    ),
    Model(
        "gpt-oss-120b", 2880, 36, 64, 8, 64, 2880, 201088, qkv_bias=True,
        num_experts=128, num_experts_per_tok=4, num_moe_layers=36, moe_intermediate_size=2880,
        sliding_window=128, num_sliding_layers=18, dtype="mxfp4",
    ),
    Model(
        "gemma-2-9b", 3584, 42, 16, 8, 256, 14336, 256000, tie_word_embeddings=True,
        sliding_window=4096, num_sliding_layers=21,
    ),
    Model(
        "gemma-2-27b", 4608, 46, 32, 16, 128, 36864, 256000, tie_word_embeddings=True,
        sliding_window=4096, num_sliding_layers=23,
    ),
    # Every sixth layer is full; the vision tower (SigLIP, 27 layers of width 1152) is 0.4 billion.
    Model(
        "gemma-3-27b", 5376, 62, 32, 16, 128, 21504, 262208, tie_word_embeddings=True,
        sliding_window=1024, num_sliding_layers=52, other_parameters=417_000_000,
    ),
)  # fmt: skip

MODELS: dict[str, Model] = {model.name: model for model in _PRESETS}


def model_by_name(name: str) -> Model:
    """The preset of that name (letter case does not matter). Raises FleetError with the nearest known name."""
    if name.lower() in MODELS:
        return MODELS[name.lower()]
    raise FleetError(f"unknown model {name!r}; {did_you_mean(name, MODELS)}")
