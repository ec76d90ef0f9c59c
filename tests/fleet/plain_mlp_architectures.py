"""Public dense models whose MLPs have two matrices: what each keeps and weighs, computed by hand."""

from architecture import Architecture

ARCHITECTURES = (
    # KV: 32 x 2 x 32 x 80 x 2
    # parameters: 32 x (2560 x 10240 + 2 x 2560 x 10240) + 2 x 51200 x 2560
    # weights: two bytes a parameter
    Architecture(
        "PhiForCausalLM", "phi-2",
        {"model_type": "phi", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 10240, "vocab_size": 51200, "tie_word_embeddings": False,
        "partial_rotary_factor": 0.4, "qk_layernorm": False},
        kv=327_680, parameters=2_778_726_400, active=2_778_726_400, weights=5_557_452_800, state=0,
    ),
    # KV: 30 x 2 x 2 x 128 x 2
    # parameters: 30 x (3072 x 6656 + 2 x 3072 x 12288) + 1 x 49152 x 3072
    # weights: two bytes a parameter
    Architecture(
        "Starcoder2ForCausalLM", "starcoder2-3b",
        {"model_type": "starcoder2", "hidden_size": 3072, "num_hidden_layers": 30, "num_attention_heads": 24,
        "num_key_value_heads": 2, "intermediate_size": 12288, "vocab_size": 49152, "tie_word_embeddings": True,
        "use_bias": True, "sliding_window": 4096},
        kv=30_720, parameters=3_029_336_064, active=3_029_336_064, weights=6_058_672_128, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 2 x 4096 x 16384) + 2 x 50432 x 4096
    # weights: two bytes a parameter
    Architecture(
        "GPTNeoXForCausalLM", "pythia-6.9b",
        {"model_type": "gpt_neox", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 16384, "vocab_size": 50432, "tie_word_embeddings": False, "rotary_pct": 0.25,
        "use_parallel_residual": True},
        kv=524_288, parameters=6_855_589_888, active=6_855_589_888, weights=13_711_179_776, state=0,
    ),
    # KV: 28 x 2 x 16 x 256 x 2
    # parameters: 28 x (4096 x 16384 + 2 x 4096 x 16384) + 2 x 50400 x 4096
    # weights: two bytes a parameter
    Architecture(
        "GPTJForCausalLM", "gpt-j-6b",
        {"model_type": "gptj", "vocab_size": 50400, "tie_word_embeddings": False, "n_embd": 4096, "n_layer": 28,
        "n_head": 16, "n_inner": None, "rotary_dim": 64},
        kv=458_752, parameters=6_050_021_376, active=6_050_021_376, weights=12_100_042_752, state=0,
    ),
    # KV: 12 x 2 x 12 x 64 x 2
    # parameters: 12 x (768 x 3072 + 2 x 768 x 3072) + 1 x 50257 x 768 + 1024 x 768
    # active: 12 x (768 x 3072 + 2 x 768 x 3072) + 1 x 50257 x 768
    # weights: two bytes a parameter
    Architecture(
        "GPT2LMHeadModel", "gpt2",
        {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
        "n_ctx": 1024},
        kv=36_864, parameters=124_318_464, active=123_532_032, weights=248_636_928, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 2 x 4096 x 16384) + 1 x 50272 x 4096 + 2048 x 4096
    # active: 32 x (4096 x 16384 + 2 x 4096 x 16384) + 1 x 50272 x 4096
    # weights: two bytes a parameter
    Architecture(
        "OPTForCausalLM", "opt-6.7b",
        {"model_type": "opt", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size":
        50272, "ffn_dim": 16384, "word_embed_proj_dim": 4096, "max_position_embeddings": 2048},
        kv=524_288, parameters=6_656_753_664, active=6_648_365_056, weights=13_313_507_328, state=0,
    ),
    # KV: 30 x 2 x 32 x 128 x 2
    # parameters: 30 x (4096 x 16384 + 2 x 4096 x 16384) + 1 x 250880 x 4096
    # weights: two bytes a parameter
    Architecture(
        "BloomForCausalLM", "bloom-7b1",
        {"model_type": "bloom", "hidden_size": 4096, "vocab_size": 250880, "n_layer": 30, "n_head": 32},
        kv=491_520, parameters=7_067_402_240, active=7_067_402_240, weights=14_134_804_480, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 2 x 4096 x 16384) + 1 x 50432 x 4096
    # weights: two bytes a parameter
    Architecture(
        "MPTForCausalLM", "mpt-7b",
        {"model_type": "mpt", "vocab_size": 50432, "d_model": 4096, "n_layers": 32, "n_heads": 32, "expansion_ratio":
        4, "attn_config": {"alibi": True, "attn_type": "multihead_attention"}, "no_bias": True},
        kv=524_288, parameters=6_649_020_416, active=6_649_020_416, weights=13_298_040_832, state=0,
    ),
    # KV: 32 x 2 x 1 x 64 x 2
    # parameters: 32 x (4544 x 9216 + 2 x 4544 x 18176) + 1 x 65024 x 4544
    # weights: two bytes a parameter
    Architecture(
        "FalconForCausalLM", "falcon-7b",
        {"model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
        "vocab_size": 65024, "multi_query": True, "new_decoder_architecture": False, "parallel_attn": True, "bias":
        False},
        kv=8_192, parameters=6_921_420_800, active=6_921_420_800, weights=13_842_841_600, state=0,
    ),
    # KV: 60 x 2 x 8 x 64 x 2
    # parameters: 60 x (8192 x 17408 + 2 x 8192 x 32768) + 1 x 65024 x 8192
    # weights: two bytes a parameter
    Architecture(
        "FalconForCausalLM", "falcon-40b",
        {"model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128,
        "vocab_size": 65024, "num_kv_heads": 8, "multi_query": True, "new_decoder_architecture": True, "bias": False},
        kv=122_880, parameters=41_301_311_488, active=41_301_311_488, weights=82_602_622_976, state=0,
    ),
    # KV: 40 x 2 x 1 x 128 x 2
    # parameters: 40 x (6144 x 12544 + 2 x 6144 x 24576) + 1 x 49152 x 6144 + 8192 x 6144
    # active: 40 x (6144 x 12544 + 2 x 6144 x 24576) + 1 x 49152 x 6144
    # weights: two bytes a parameter
    Architecture(
        "GPTBigCodeForCausalLM", "starcoder",
        {"model_type": "gpt_bigcode", "vocab_size": 49152, "n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner":
        24576, "multi_query": True, "n_positions": 8192},
        kv=20_480, parameters=15_514_730_496, active=15_464_398_848, weights=31_029_460_992, state=0,
    ),
    # KV: 36 x 2 x 4 x 128 x 2
    # parameters: 36 x (2560 x 6144 + 2 x 2560 x 18432) + 2 x 128004 x 2560
    # weights: two bytes a parameter
    Architecture(
        "ArceeForCausalLM", "AFM-4.5B",
        {"model_type": "arcee", "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 20,
        "num_key_value_heads": 4, "intermediate_size": 18432, "vocab_size": 128004, "tie_word_embeddings": False},
        kv=73_728, parameters=4_618_997_760, active=4_618_997_760, weights=9_237_995_520, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 10240 + 2 x 4096 x 21504) + 2 x 131072 x 4096
    # weights: two bytes a parameter
    Architecture(
        "ApertusForCausalLM", "Apertus-8B",
        {"model_type": "apertus", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 21504, "vocab_size": 131072, "tie_word_embeddings": False},
        kv=131_072, parameters=8_053_063_680, active=8_053_063_680, weights=16_106_127_360, state=0,
    ),
    # KV: 36 x 2 x 64 x 64 x 2
    # parameters: 36 x (4096 x 16384 + 2 x 4096 x 16384) + 2 x 262144 x 4096
    # weights: two bytes a parameter
    Architecture(
        "PersimmonForCausalLM", "persimmon-8b",
        {"model_type": "persimmon", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 64,
        "intermediate_size": 16384, "vocab_size": 262144, "tie_word_embeddings": False, "qk_layernorm": True},
        kv=589_824, parameters=9_395_240_960, active=9_395_240_960, weights=18_790_481_920, state=0,
    ),
)  # fmt: skip
