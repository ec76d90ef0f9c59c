"""Public dense models: what each keeps and weighs, computed by hand (norms and biases left out)."""

from architecture import Architecture

ARCHITECTURES = (
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 10240 + 3 x 4096 x 14336) + 2 x 128256 x 4096
    # weights: two bytes a parameter
    Architecture(
        "LlamaForCausalLM", "Llama-3.1-8B",
        {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False},
        kv=131_072, parameters=8_029_995_008, active=8_029_995_008, weights=16_059_990_016, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 10240 + 3 x 4096 x 14336) + 2 x 32768 x 4096
    # weights: two bytes a parameter
    Architecture(
        "MistralForCausalLM", "Mistral-7B-v0.3",
        {"model_type": "mistral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32768, "tie_word_embeddings": False,
        "sliding_window": None},
        kv=131_072, parameters=7_247_757_312, active=7_247_757_312, weights=14_495_514_624, state=0,
    ),
    # KV: 28 x 2 x 4 x 128 x 2
    # parameters: 28 x (3584 x 8192 + 3 x 3584 x 18944) + 2 x 152064 x 3584
    # weights: two bytes a parameter
    Architecture(
        "Qwen2ForCausalLM", "Qwen2.5-7B",
        {"model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
        "sliding_window": 131072, "use_sliding_window": False, "max_window_layers": 28},
        kv=57_344, parameters=7_615_283_200, active=7_615_283_200, weights=15_230_566_400, state=0,
    ),
    # KV: 36 x 2 x 8 x 128 x 2
    # parameters: 36 x (4096 x 10240 + 3 x 4096 x 12288) + 2 x 151936 x 4096
    # weights: two bytes a parameter
    Architecture(
        "Qwen3ForCausalLM", "Qwen3-8B",
        {"model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 12288, "vocab_size": 151936, "tie_word_embeddings": False},
        kv=147_456, parameters=8_190_427_136, active=8_190_427_136, weights=16_380_854_272, state=0,
    ),
    # KV: 28 x 2 x 16 x 256 x 2
    # parameters: 28 x (3072 x 16384 + 3 x 3072 x 24576) + 1 x 256000 x 3072
    # weights: two bytes a parameter
    Architecture(
        "GemmaForCausalLM", "gemma-7b",
        {"model_type": "gemma", "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 16, "intermediate_size": 24576, "vocab_size": 256000, "tie_word_embeddings": True,
        "head_dim": 256},
        kv=458_752, parameters=8_537_505_792, active=8_537_505_792, weights=17_075_011_584, state=0,
    ),
    # KV: 42 x 2 x 8 x 256 x 2
    # parameters: 42 x (3584 x 12288 + 3 x 3584 x 14336) + 1 x 256000 x 3584
    # weights: two bytes a parameter
    Architecture(
        "Gemma2ForCausalLM", "gemma-2-9b",
        {"model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 256000, "tie_word_embeddings": True,
        "head_dim": 256, "sliding_window": 4096, "query_pre_attn_scalar": 256},
        kv=344_064, parameters=9_241_100_288, active=9_241_100_288, weights=18_482_200_576, state=0,
    ),
    # KV: 32 x 2 x 32 x 96 x 2
    # parameters: 32 x (3072 x 12288 + 3 x 3072 x 8192) + 2 x 32064 x 3072
    # weights: two bytes a parameter
    Architecture(
        "Phi3ForCausalLM", "Phi-3-mini-4k",
        {"model_type": "phi3", "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 8192, "vocab_size": 32064, "tie_word_embeddings": False,
        "sliding_window": 2047, "original_max_position_embeddings": 4096},
        kv=393_216, parameters=3_820_879_872, active=3_820_879_872, weights=7_641_759_744, state=0,
    ),
    # KV: 32 x 2 x 32 x 80 x 2
    # parameters: 32 x (2560 x 10240 + 3 x 2560 x 6912) + 2 x 50304 x 2560
    # weights: two bytes a parameter
    Architecture(
        "StableLmForCausalLM", "stablelm-3b-4e1t",
        {"model_type": "stablelm", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 6912, "vocab_size": 50304, "tie_word_embeddings": False,
        "use_qkv_bias": False},
        kv=327_680, parameters=2_795_110_400, active=2_795_110_400, weights=5_590_220_800, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 10240 + 3 x 4096 x 14336) + 2 x 92544 x 4096
    # weights: two bytes a parameter
    Architecture(
        "InternLM2ForCausalLM", "internlm2-7b",
        {"model_type": "internlm2", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 92544, "tie_word_embeddings": False,
        "bias": False},
        kv=131_072, parameters=7_737_442_304, active=7_737_442_304, weights=15_474_884_608, state=0,
    ),
    # KV: 48 x 2 x 2 x 128 x 2
    # parameters: 48 x (4096 x 8704 + 3 x 4096 x 10240) + 2 x 128512 x 4096
    # weights: two bytes a parameter
    Architecture(
        "InternLM3ForCausalLM", "internlm3-8b",
        {"model_type": "internlm3", "hidden_size": 4096, "num_hidden_layers": 48, "num_attention_heads": 32,
        "num_key_value_heads": 2, "intermediate_size": 10240, "vocab_size": 128512, "tie_word_embeddings": False,
        "qkv_bias": False, "bias": False},
        kv=49_152, parameters=8_803_844_096, active=8_803_844_096, weights=17_607_688_192, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 3 x 4096 x 11008) + 2 x 125696 x 4096
    # weights: two bytes a parameter
    Architecture(
        "BaichuanForCausalLM", "Baichuan2-7B",
        {"model_type": "baichuan", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 11008, "vocab_size": 125696, "tie_word_embeddings": False},
        kv=524_288, parameters=7_505_707_008, active=7_505_707_008, weights=15_011_414_016, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 3 x 4096 x 11008) + 2 x 50304 x 4096
    # weights: two bytes a parameter
    Architecture(
        "OlmoForCausalLM", "OLMo-7B",
        {"model_type": "olmo", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 50304, "tie_word_embeddings": False},
        kv=524_288, parameters=6_888_095_744, active=6_888_095_744, weights=13_776_191_488, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 3 x 4096 x 11008) + 2 x 100352 x 4096
    # weights: two bytes a parameter
    Architecture(
        "Olmo2ForCausalLM", "OLMo-2-7B",
        {"model_type": "olmo2", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 100352, "tie_word_embeddings": False},
        kv=524_288, parameters=7_298_088_960, active=7_298_088_960, weights=14_596_177_920, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 3 x 4096 x 11008) + 2 x 100278 x 4096
    # weights: two bytes a parameter
    Architecture(
        "Olmo3ForCausalLM", "Olmo-3-7B",
        {"model_type": "olmo3", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 100278, "tie_word_embeddings": False,
        "sliding_window": 4096, "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention",
        "full_attention"] * 8},
        kv=524_288, parameters=7_297_482_752, active=7_297_482_752, weights=14_594_965_504, state=0,
    ),
    # KV: 40 x 2 x 64 x 128 x 2
    # parameters: 40 x (8192 x 32768 + 3 x 8192 x 22528) + 1 x 256000 x 8192
    # weights: two bytes a parameter
    Architecture(
        "CohereForCausalLM", "c4ai-command-r-v01",
        {"model_type": "cohere", "hidden_size": 8192, "num_hidden_layers": 40, "num_attention_heads": 64,
        "num_key_value_heads": 64, "intermediate_size": 22528, "vocab_size": 256000, "tie_word_embeddings": True,
        "logit_scale": 0.0625, "use_qk_norm": False},
        kv=1_310_720, parameters=34_980_495_360, active=34_980_495_360, weights=69_960_990_720, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 10240 + 3 x 4096 x 14336) + 1 x 256000 x 4096
    # weights: two bytes a parameter
    Architecture(
        "Cohere2ForCausalLM", "c4ai-command-r7b",
        {"model_type": "cohere2", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 256000, "tie_word_embeddings": True,
        "sliding_window": 4096, "sliding_window_pattern": 4},
        kv=131_072, parameters=8_027_897_856, active=8_027_897_856, weights=16_055_795_712, state=0,
    ),
    # KV: 61 x 2 x 2 x 128 x 2
    # parameters: 61 x (6144 x 12800 + 3 x 6144 x 23040) + 2 x 151552 x 6144
    # weights: two bytes a parameter
    Architecture(
        "Glm4ForCausalLM", "GLM-4-32B-0414",
        {"model_type": "glm4", "hidden_size": 6144, "num_hidden_layers": 61, "num_attention_heads": 48,
        "num_key_value_heads": 2, "intermediate_size": 23040, "vocab_size": 151552, "tie_word_embeddings": False,
        "attention_bias": False, "partial_rotary_factor": 0.5},
        kv=62_464, parameters=32_564_576_256, active=32_564_576_256, weights=65_129_152_512, state=0,
    ),
    # KV: 40 x 2 x 8 x 128 x 2
    # parameters: 40 x (4096 x 10240 + 3 x 4096 x 12800) + 1 x 49155 x 4096
    # weights: two bytes a parameter
    Architecture(
        "GraniteForCausalLM", "granite-3.1-8b",
        {"model_type": "granite", "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 12800, "vocab_size": 49155, "tie_word_embeddings": True,
        "attention_multiplier": 0.0078125, "residual_multiplier": 0.22},
        kv=163_840, parameters=8_170_516_480, active=8_170_516_480, weights=16_341_032_960, state=0,
    ),
    # KV: 64 x 2 x 8 x 128 x 2
    # parameters: 64 x (5120 x 22528 + 3 x 5120 x 27648) + 2 x 155136 x 5120
    # weights: two bytes a parameter
    Architecture(
        "SeedOssForCausalLM", "Seed-OSS-36B",
        {"model_type": "seed_oss", "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 80,
        "num_key_value_heads": 8, "intermediate_size": 27648, "vocab_size": 155136, "tie_word_embeddings": False,
        "head_dim": 128, "attention_bias": True, "attention_out_bias": False},
        kv=262_144, parameters=36_149_657_600, active=36_149_657_600, weights=72_299_315_200, state=0,
    ),
    # KV: 36 x 2 x 4 x 128 x 2
    # parameters: 36 x (2048 x 5120 + 3 x 2048 x 11008) + 1 x 128256 x 2048
    # weights: two bytes a parameter
    Architecture(
        "SmolLM3ForCausalLM", "SmolLM3-3B",
        {"model_type": "smollm3", "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 4, "intermediate_size": 11008, "vocab_size": 128256, "tie_word_embeddings": True,
        "no_rope_layers": [1, 1, 1, 0] * 9, "layer_types": ["full_attention"] * 36, "use_sliding_window": False},
        kv=73_728, parameters=3_074_949_120, active=3_074_949_120, weights=6_149_898_240, state=0,
    ),
    # KV: 18 x 2 x 2 x 128 x 2
    # parameters: 18 x (1024 x 4608 + 3 x 1024 x 3072) + 1 x 103424 x 1024
    # weights: two bytes a parameter
    Architecture(
        "Ernie4_5ForCausalLM", "ERNIE-4.5-0.3B",
        {"model_type": "ernie4_5", "hidden_size": 1024, "num_hidden_layers": 18, "num_attention_heads": 16,
        "num_key_value_heads": 2, "intermediate_size": 3072, "vocab_size": 103424, "tie_word_embeddings": True,
        "head_dim": 128},
        kv=18_432, parameters=360_710_144, active=360_710_144, weights=721_420_288, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 10240 + 3 x 4096 x 14336) + 2 x 102400 x 4096
    # weights: two bytes a parameter
    Architecture(
        "ExaoneForCausalLM", "EXAONE-3.0-7.8B",
        {"model_type": "exaone", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
        "intermediate_size": 14336, "vocab_size": 102400, "tie_word_embeddings": False, "num_layers": 32},
        kv=131_072, parameters=7_818_182_656, active=7_818_182_656, weights=15_636_365_312, state=0,
    ),
    # KV: 36 x 2 x 8 x 128 x 2
    # parameters: 36 x (4096 x 10240 + 3 x 4096 x 11008) + 2 x 151680 x 4096
    # weights: two bytes a parameter
    Architecture(
        "MiMoForCausalLM", "MiMo-7B",
        {"model_type": "mimo", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 11008, "vocab_size": 151680, "tie_word_embeddings": False,
        "num_nextn_predict_layers": 1},
        kv=147_456, parameters=7_622_098_944, active=7_622_098_944, weights=15_244_197_888, state=0,
    ),
    # KV: 40 x 2 x 36 x 64 x 2
    # parameters: 40 x (2304 x 9216 + 3 x 2304 x 5760) + 1 x 122753 x 2304
    # weights: two bytes a parameter
    Architecture(
        "MiniCPMForCausalLM", "MiniCPM-2B",
        {"model_type": "minicpm", "hidden_size": 2304, "num_hidden_layers": 40, "num_attention_heads": 36,
        "num_key_value_heads": 36, "intermediate_size": 5760, "vocab_size": 122753, "scale_emb": 12, "dim_model_base":
        256, "scale_depth": 1.4},
        kv=368_640, parameters=2_724_694_272, active=2_724_694_272, weights=5_449_388_544, state=0,
    ),
    # KV: 24 x 2 x 20 x 128 x 2
    # parameters: 24 x (2560 x 10240 + 3 x 2560 x 7040) + 2 x 48000 x 2560
    # weights: two bytes a parameter
    Architecture(
        "HeliumForCausalLM", "helium-1-preview-2b",
        {"model_type": "helium", "hidden_size": 2560, "num_hidden_layers": 24, "num_attention_heads": 20,
        "num_key_value_heads": 20, "intermediate_size": 7040, "vocab_size": 48000, "tie_word_embeddings": False},
        kv=245_760, parameters=2_172_518_400, active=2_172_518_400, weights=4_345_036_800, state=0,
    ),
    # KV: 32 x 2 x 32 x 128 x 2
    # parameters: 32 x (4096 x 16384 + 3 x 4096 x 11008) + 2 x 151936 x 4096
    # weights: two bytes a parameter
    Architecture(
        "QWenLMHeadModel", "Qwen-7B",
        {"model_type": "qwen", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 22016, "vocab_size": 151936, "tie_word_embeddings": False, "kv_channels": 128, "no_bias":
        True},
        kv=524_288, parameters=7_720_665_088, active=7_720_665_088, weights=15_441_330_176, state=0,
    ),
    # KV: 40 x 2 x 2 x 128 x 2
    # parameters: 40 x (4096 x 8704 + 3 x 4096 x 13696) + 2 x 151552 x 4096
    # weights: two bytes a parameter
    Architecture(
        "ChatGLMModel", "glm-4-9b-chat",
        {"model_type": "chatglm", "hidden_size": 4096, "num_attention_heads": 32, "tie_word_embeddings": False,
        "multi_query_group_num": 2, "ffn_hidden_size": 13696, "num_layers": 40, "padded_vocab_size": 151552,
        "multi_query_attention": True, "kv_channels": 128, "add_qkv_bias": True},
        kv=40_960, parameters=9_399_435_264, active=9_399_435_264, weights=18_798_870_528, state=0,
    ),
    # KV: 64 x 2 x 8 x 128 x 2
    # parameters: 64 x (5120 x 12288 + 3 x 5120 x 27392) + 2 x 102400 x 5120
    # weights: two bytes a parameter
    Architecture(
        "Exaone4ForCausalLM", "EXAONE-4.0-32B",
        {"model_type": "exaone4", "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 40,
        "num_key_value_heads": 8, "intermediate_size": 27392, "vocab_size": 102400, "tie_word_embeddings": False,
        "sliding_window": 4096, "sliding_window_pattern": "LLLG"},
        kv=262_144, parameters=32_002_539_520, active=32_002_539_520, weights=64_005_079_040, state=0,
    ),
)  # fmt: skip
