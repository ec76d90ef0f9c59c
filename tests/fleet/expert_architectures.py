"""Public models with experts: what each keeps and weighs, computed by hand."""

from architecture import Architecture

ARCHITECTURES = (
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x 4096 x 10240 + 32 x (8 x 3 x 4096 x 14336 + 3 x 4096 x 0 + 4096 x 8) + 2 x 32000 x 4096
    # active: 32 x 4096 x 10240 + 32 x (2 x 3 x 4096 x 14336 + 3 x 4096 x 0 + 4096 x 8) + 2 x 32000 x 4096
    # weights: two bytes a parameter
    Architecture(
        "MixtralForCausalLM", "Mixtral-8x7B",
        {"model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 32000, "tie_word_embeddings": False, "num_experts_per_tok": 2,
        "intermediate_size": 14336, "num_local_experts": 8},
        kv=131_072, parameters=46_702_526_464, active=12_879_659_008, weights=93_405_052_928, state=0,
    ),
    # KV: 28 x 2 x 4 x 128 x 2
    # parameters: 28 x 3584 x 8192 + 28 x (64 x 3 x 3584 x 2560 + 3 x 3584 x 20480 + 3584 x 64) + 2 x 151936 x 3584
    # active: 28 x 3584 x 8192 + 28 x (8 x 3 x 3584 x 2560 + 3 x 3584 x 20480 + 3584 x 64) + 2 x 151936 x 3584
    # weights: two bytes a parameter
    Architecture(
        "Qwen2MoeForCausalLM", "Qwen2-57B-A14B",
        {"model_type": "qwen2_moe", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 151936, "tie_word_embeddings": False, "num_experts": 64,
        "num_experts_per_tok": 8, "moe_intermediate_size": 2560, "intermediate_size": 18944,
        "shared_expert_intermediate_size": 20480, "decoder_sparse_step": 1},
        kv=57_344, parameters=57_408_225_280, active=14_248_837_120, weights=114_816_450_560, state=0,
    ),
    # KV: 48 x 2 x 4 x 128 x 2
    # parameters: 48 x 2048 x 9216 + 48 x (128 x 3 x 2048 x 768 + 3 x 2048 x 0 + 2048 x 128) + 2 x 151936 x 2048
    # active: 48 x 2048 x 9216 + 48 x (8 x 3 x 2048 x 768 + 3 x 2048 x 0 + 2048 x 128) + 2 x 151936 x 2048
    # weights: two bytes a parameter
    Architecture(
        "Qwen3MoeForCausalLM", "Qwen3-30B-A3B",
        {"model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
        "num_key_value_heads": 4, "vocab_size": 151936, "tie_word_embeddings": False, "num_experts": 128,
        "num_experts_per_tok": 8, "moe_intermediate_size": 768, "intermediate_size": 6144, "head_dim": 128,
        "decoder_sparse_step": 1, "mlp_only_layers": []},
        kv=98_304, parameters=30_531_911_680, active=3_352_821_760, weights=61_063_823_360, state=0,
    ),
    # KV: 16 x 2 x 16 x 128 x 2
    # parameters: 16 x 2048 x 8192 + 16 x (64 x 3 x 2048 x 1024 + 3 x 2048 x 0 + 2048 x 64) + 2 x 50304 x 2048
    # active: 16 x 2048 x 8192 + 16 x (8 x 3 x 2048 x 1024 + 3 x 2048 x 0 + 2048 x 64) + 2 x 50304 x 2048
    # weights: two bytes a parameter
    Architecture(
        "OlmoeForCausalLM", "OLMoE-1B-7B",
        {"model_type": "olmoe", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 50304, "tie_word_embeddings": False, "num_experts": 64,
        "num_experts_per_tok": 8, "intermediate_size": 1024},
        kv=131_072, parameters=6_919_028_736, active=1_281_884_160, weights=13_838_057_472, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x 4096 x 10240 + 32 x (16 x 3 x 4096 x 6400 + 3 x 4096 x 0 + 4096 x 16) + 2 x 32064 x 4096
    # active: 32 x 4096 x 10240 + 32 x (2 x 3 x 4096 x 6400 + 3 x 4096 x 0 + 4096 x 16) + 2 x 32064 x 4096
    # weights: two bytes a parameter
    Architecture(
        "PhiMoEForCausalLM", "Phi-3.5-MoE",
        {"model_type": "phimoe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 32064, "tie_word_embeddings": False, "num_experts_per_tok": 2,
        "intermediate_size": 6400, "num_local_experts": 16},
        kv=131_072, parameters=41_872_261_120, active=6_640_107_520, weights=83_744_522_240, state=0,
    ),
    # KV: 32 x 2 x 8 x 64 x 2
    # parameters: 32 x 1536 x 4096 + 32 x (40 x 3 x 1536 x 512 + 3 x 1536 x 0 + 1536 x 40) + 1 x 49155 x 1536
    # active: 32 x 1536 x 4096 + 32 x (8 x 3 x 1536 x 512 + 3 x 1536 x 0 + 1536 x 40) + 1 x 49155 x 1536
    # weights: two bytes a parameter
    Architecture(
        "GraniteMoeForCausalLM", "granite-3.0-3b-a800m",
        {"model_type": "granitemoe", "hidden_size": 1536, "num_hidden_layers": 32, "num_attention_heads": 24,
        "num_key_value_heads": 8, "vocab_size": 49155, "tie_word_embeddings": True, "num_experts_per_tok": 8,
        "intermediate_size": 512, "num_local_experts": 40},
        kv=65_536, parameters=3_298_693_632, active=882_774_528, weights=6_597_387_264, state=0,
    ),
    # KV: 28 x 2 x 16 x 128 x 2
    # parameters: 28 x 2048 x 8192 + 27 x (64 x 3 x 2048 x 1408 + 3 x 2048 x 2816 + 2048 x 64) + 1 x 3 x 2048 x 10944
    #     + 2 x 102400 x 2048
    # active: 28 x 2048 x 8192 + 27 x (6 x 3 x 2048 x 1408 + 3 x 2048 x 2816 + 2048 x 64) + 1 x 3 x 2048 x 10944 + 2 x
    #     102400 x 2048
    # weights: two bytes a parameter
    Architecture(
        "DeepseekForCausalLM", "deepseek-moe-16b",
        {"model_type": "deepseek", "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 102400, "tie_word_embeddings": False, "num_experts_per_tok": 6,
        "moe_intermediate_size": 1408, "intermediate_size": 10944, "n_routed_experts": 64, "n_shared_experts": 2,
        "first_k_dense_replace": 1, "moe_layer_freq": 1},
        kv=229_376, parameters=16_375_611_392, active=2_828_533_760, weights=32_751_222_784, state=0,
    ),
    # KV: 46 x 2 x 8 x 128 x 2
    # parameters: 46 x 4096 x 26624 + 45 x (128 x 3 x 4096 x 1408 + 3 x 4096 x 1408 + 4096 x 128) + 1 x 3 x 4096 x
    #     10944 + 2 x 151552 x 4096
    # active: 46 x 4096 x 26624 + 45 x (8 x 3 x 4096 x 1408 + 3 x 4096 x 1408 + 4096 x 128) + 1 x 3 x 4096 x 10944 + 2
    #     x 151552 x 4096
    # weights: two bytes a parameter
    Architecture(
        "Glm4MoeForCausalLM", "GLM-4.5-Air",
        {"model_type": "glm4_moe", "hidden_size": 4096, "num_hidden_layers": 46, "num_attention_heads": 96,
        "num_key_value_heads": 8, "vocab_size": 151552, "tie_word_embeddings": False, "num_experts_per_tok": 8,
        "moe_intermediate_size": 1408, "intermediate_size": 10944, "head_dim": 128, "n_routed_experts": 128,
        "n_shared_experts": 1, "first_k_dense_replace": 1, "attention_bias": True},
        kv=188_416, parameters=106_851_205_120, active=13_423_083_520, weights=213_702_410_240, state=0,
    ),
    # KV: 62 x 2 x 32 x 128 x 2
    # parameters: 62 x 4096 x 16384 + 61 x (128 x 3 x 4096 x 1408 + 3 x 4096 x 2816 + 4096 x 128) + 1 x 3 x 4096 x
    #     10944 + 2 x 152064 x 4096
    # active: 62 x 4096 x 16384 + 61 x (6 x 3 x 4096 x 1408 + 3 x 4096 x 2816 + 4096 x 128) + 1 x 3 x 4096 x 10944 + 2
    #     x 152064 x 4096
    # weights: two bytes a parameter
    Architecture(
        "Dots1ForCausalLM", "dots.llm1",
        {"model_type": "dots1", "hidden_size": 4096, "num_hidden_layers": 62, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 152064, "tie_word_embeddings": False, "num_experts_per_tok": 6,
        "moe_intermediate_size": 1408, "intermediate_size": 10944, "n_routed_experts": 128, "n_shared_experts": 2,
        "first_k_dense_replace": 1},
        kv=1_015_808, parameters=142_773_846_016, active=14_016_053_248, weights=285_547_692_032, state=0,
    ),
    # KV: 28 x 2 x 4 x 128 x 2
    # parameters: 28 x 2560 x 6144 + 27 x (64 x 3 x 2560 x 1536 + 3 x 2560 x 3072 + 2560 x 64) + 1 x 3 x 2560 x 12288
    #     + 1 x 103424 x 2560
    # active: 28 x 2560 x 6144 + 27 x (6 x 3 x 2560 x 1536 + 3 x 2560 x 3072 + 2560 x 64) + 1 x 3 x 2560 x 12288 + 1 x
    #     103424 x 2560
    # weights: two bytes a parameter
    Architecture(
        "Ernie4_5_MoeForCausalLM", "ERNIE-4.5-21B-A3B",
        {"model_type": "ernie4_5_moe", "hidden_size": 2560, "num_hidden_layers": 28, "num_attention_heads": 20,
        "num_key_value_heads": 4, "vocab_size": 103424, "tie_word_embeddings": True, "moe_intermediate_size": 1536,
        "intermediate_size": 12288, "moe_num_experts": 64, "moe_k": 6, "moe_num_shared_experts": 2,
        "moe_layer_start_index": 1, "moe_layer_end_index": 27, "moe_layer_interval": 1},
        kv=57_344, parameters=21_825_290_240, active=3_352_002_560, weights=43_650_580_480, state=0,
    ),
    # KV: 32 x 2 x 4 x 128 x 2
    # parameters: 32 x 4096 x 9216 + 31 x (256 x 3 x 4096 x 1024 + 3 x 4096 x 1024 + 4096 x 256) + 1 x 3 x 4096 x 9216
    #     + 2 x 157184 x 4096
    # active: 32 x 4096 x 9216 + 31 x (8 x 3 x 4096 x 1024 + 3 x 4096 x 1024 + 4096 x 256) + 1 x 3 x 4096 x 9216 + 2 x
    #     157184 x 4096
    # weights: two bytes a parameter
    Architecture(
        "BailingMoeV2ForCausalLM", "Ling-flash-2.0",
        {"model_type": "bailing_moe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 4, "vocab_size": 157184, "tie_word_embeddings": False, "num_experts": 256,
        "num_experts_per_tok": 8, "moe_intermediate_size": 1024, "intermediate_size": 9216, "num_shared_experts": 1,
        "moe_shared_expert_intermediate_size": 1024, "first_k_dense_replace": 1},
        kv=65_536, parameters=102_889_422_848, active=6_151_995_392, weights=205_778_845_696, state=0,
    ),
    # KV: 32 x 2 x 8 x 128 x 2
    # parameters: 32 x 4096 x 10240 + 32 x (64 x 3 x 4096 x 3072 + 3 x 4096 x 3072 + 4096 x 64) + 1 x 128167 x 4096
    # active: 32 x 4096 x 10240 + 32 x (8 x 3 x 4096 x 3072 + 3 x 4096 x 3072 + 4096 x 64) + 1 x 128167 x 4096
    # weights: two bytes a parameter
    Architecture(
        "HunYuanMoEV1ForCausalLM", "Hunyuan-A13B",
        {"model_type": "hunyuan_v1_moe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128167, "tie_word_embeddings": True, "num_experts": 64,
        "moe_intermediate_size": [3072] * 32, "intermediate_size": 3072, "moe_topk": [8] * 32, "num_shared_expert":
        [1] * 32, "use_cla": False},
        kv=131_072, parameters=80_392_908_800, active=12_747_173_888, weights=160_785_817_600, state=0,
    ),
    # KV: 28 x 2 x 20 x 128 x 2
    # parameters: 28 x 2560 x 10240 + 28 x (64 x 3 x 2560 x 1664 + 3 x 2560 x 3328 + 2560 x 64) + 2 x 100352 x 2560
    # active: 28 x 2560 x 10240 + 28 x (6 x 3 x 2560 x 1664 + 3 x 2560 x 3328 + 2560 x 64) + 2 x 100352 x 2560
    # weights: two bytes a parameter
    Architecture(
        "AriaForConditionalGeneration", "Aria (text)",
        {"model_type": "aria_text", "hidden_size": 2560, "num_hidden_layers": 28, "num_attention_heads": 20,
        "num_key_value_heads": 20, "vocab_size": 100352, "tie_word_embeddings": False, "intermediate_size": 1664,
        "moe_num_experts": 64, "moe_topk": 6, "moe_num_shared_experts": 2},
        kv=286_720, parameters=24_868_945_920, active=4_115_005_440, weights=49_737_891_840, state=0,
    ),
    # KV: 62 x 2 x 8 x 128 x 2
    # parameters: 62 x 3072 x 14336 + 62 x (256 x 3 x 3072 x 1536 + 3 x 3072 x 0 + 3072 x 256) + 2 x 200064 x 3072
    # active: 62 x 3072 x 14336 + 62 x (8 x 3 x 3072 x 1536 + 3 x 3072 x 0 + 3072 x 256) + 2 x 200064 x 3072
    # weights: two bytes a parameter
    Architecture(
        "MiniMaxM2ForCausalLM", "MiniMax-M2",
        {"model_type": "minimax_m2", "hidden_size": 3072, "num_hidden_layers": 62, "num_attention_heads": 48,
        "num_key_value_heads": 8, "vocab_size": 200064, "tie_word_embeddings": False, "num_experts_per_tok": 8,
        "intermediate_size": 1536, "head_dim": 128, "num_local_experts": 256},
        kv=253_952, parameters=228_688_920_576, active=11_029_708_800, weights=457_377_841_152, state=0,
    ),
    # KV: 40 x 2 x 8 x 128 x 2
    # parameters: 40 x 6144 x 14336 + 40 x (16 x 3 x 6144 x 10752 + 3 x 6144 x 0 + 6144 x 16) + 2 x 100352 x 6144
    # active: 40 x 6144 x 14336 + 40 x (4 x 3 x 6144 x 10752 + 3 x 6144 x 0 + 6144 x 16) + 2 x 100352 x 6144
    # weights: two bytes a parameter
    Architecture(
        "DbrxForCausalLM", "dbrx",
        {"model_type": "dbrx", "vocab_size": 100352, "tie_word_embeddings": False, "d_model": 6144, "n_layers": 40,
        "n_heads": 48, "attn_config": {"clip_qkv": 8, "kv_n_heads": 8}, "ffn_config": {"ffn_hidden_size": 10752,
        "moe_num_experts": 16, "moe_top_k": 4}},
        kv=163_840, parameters=131_596_025_856, active=36_469_211_136, weights=263_192_051_712, state=0,
    ),
    # KV: 36 x 2 x 8 x 64 x 2
    # parameters: 36 x 2880 x 9216 + 36 x (128 x 3 x 2880 x 2880 + 2880 x 128) + 2 x 201088 x 2880
    # active: 36 x 2880 x 9216 + 36 x (4 x 3 x 2880 x 2880 + 2880 x 128) + 2 x 201088 x 2880
    # weights: 36 x 128 x 3 x 2880 x 2880 x 4.25 / 8 + 2 x (36 x 2880 x 9216 + 36 x 2880 x 128 + 2 x 201088 x 2880)
    Architecture(
        "GptOssForCausalLM", "gpt-oss-120b",
        {"model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 36, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "vocab_size": 201088,
        "num_local_experts": 128, "num_experts_per_tok": 4, "sliding_window": 128, "attention_bias": True,
        "layer_types": ["sliding_attention", "full_attention"] * 18, "quantization_config": {"quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn"]}},
        kv=73_728, parameters=116_788_838_400, active=5_710_233_600, weights=65_168_179_200, state=0,
    ),
    # KV: 61 x 2 x 1 x 256 x 2
    # parameters: 61 x (7168 x 2048 + 2048 x 16384 + 7168 x 512 + 16384 x 7168) + 56 x (48 x 3 x 7168 x 5120 + 3 x
    #     7168 x 5120 + 7168 x 48) + 5 x 3 x 7168 x 18432 + 2 x 128815 x 7168
    # active: 61 x (7168 x 2048 + 2048 x 16384 + 7168 x 512 + 16384 x 7168) + 56 x (3 x 3 x 7168 x 5120 + 3 x 7168 x
    #     5120 + 7168 x 48) + 5 x 3 x 7168 x 18432 + 2 x 128815 x 7168
    # weights: two bytes a parameter
    Architecture(
        "Step3TextForCausalLM", "step3",
        {"model_type": "step3", "text_config": {"model_type": "step3_text", "hidden_size": 7168, "intermediate_size":
        18432, "num_attention_heads": 64, "num_attention_groups": 1, "num_hidden_layers": 61, "vocab_size": 128815,
        "moe_intermediate_size": 5120, "moe_num_experts": 48, "moe_top_k": 3, "share_expert_dim": 5120, "share_q_dim":
        2048, "head_dim": 256, "moe_layers_enum":
        "4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59",
        "torch_dtype": "bfloat16"}},
        kv=62_464, parameters=316_293_531_648, active=38_840_322_048, weights=632_587_063_296, state=0,
    ),
    # KV: 64 x 2 x 8 x 128 x 2
    # parameters: 64 x 8192 x 18432 + 64 x (8 x 3 x 8192 x 16384 + 3 x 8192 x 32768 + 8192 x 8) + 2 x 131072 x 8192
    # active: 64 x 8192 x 18432 + 64 x (2 x 3 x 8192 x 16384 + 3 x 8192 x 32768 + 8192 x 8) + 2 x 131072 x 8192
    # weights: two bytes a parameter
    Architecture(
        "Grok1ForCausalLM", "grok-2",
        {"model_type": "git", "hidden_size": 8192, "intermediate_size": 32768, "moe_intermediate_size": 16384,
        "residual_moe": True, "num_hidden_layers": 64, "num_attention_heads": 64, "num_key_value_heads": 8,
        "head_dim": 128, "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 131072, "architectures":
        ["Grok1ForCausalLM"]},
        kv=262_144, parameters=269_513_392_128, active=114_894_569_472, weights=539_026_784_256, state=0,
    ),
    # KV: 48 x 2 x 8 x 128 x 2
    # parameters: 48 x 5120 x 12288 + 24 x (128 x 3 x 5120 x 8192 + 3 x 5120 x 8192 + 5120 x 128) + 24 x 3 x 5120 x
    #     16384 + 2 x 202048 x 5120
    # active: 48 x 5120 x 12288 + 24 x (1 x 3 x 5120 x 8192 + 3 x 5120 x 8192 + 5120 x 128) + 24 x 3 x 5120 x 16384 +
    #     2 x 202048 x 5120
    # weights: two bytes a parameter
    Architecture(
        "Llama4ForConditionalGeneration", "Llama-4-Maverick (text)",
        {"model_type": "llama4", "text_config": {"model_type": "llama4_text", "hidden_size": 5120,
        "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
        "intermediate_size": 8192, "intermediate_size_mlp": 16384, "vocab_size": 202048, "num_local_experts": 128,
        "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "attention_chunk_size": 8192, "moe_layers":
        [*range(1, 48, 2)], "no_rope_layers": [1, 1, 1, 0] * 12}},
        kv=196_608, parameters=400_711_352_320, active=17_184_194_560, weights=801_422_704_640, state=0,
    ),
    # KV: 48 x 2 x 4 x 128 x 2
    # parameters: 48 x 2048 x 9216 + 48 x (128 x 3 x 2048 x 768 + 2048 x 128) + 2 x 152064 x 2048
    # active: 48 x 2048 x 9216 + 48 x (8 x 3 x 2048 x 768 + 2048 x 128) + 2 x 152064 x 2048
    # weights: two bytes a parameter
    Architecture(
        "Qwen3OmniMoeForConditionalGeneration", "Qwen3-Omni-30B-A3B (thinker, text)",
        {"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": {"model_type": "qwen3_omni_moe_text",
        "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim":
        128, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "intermediate_size": 768,
        "vocab_size": 152064}}},
        kv=98_304, parameters=30_532_435_968, active=3_353_346_048, weights=61_064_871_936, state=0,
    ),
    # KV: 48 x 2 x 8 x 256 x 2
    # parameters: 48 x (3840 x 12288 + 3 x 3840 x 15360) + 262208 x 3840 + 27 x 1152 x (4 x 1152 + 2 x 4304)
    # active: 48 x (3840 x 12288 + 3 x 3840 x 15360) + 262208 x 3840
    # weights: two bytes a parameter
    Architecture(
        "Gemma3ForConditionalGeneration", "gemma-3-12b",
        {"model_type": "gemma3", "text_config": {"hidden_size": 3840, "intermediate_size": 15360, "model_type":
        "gemma3_text", "num_attention_heads": 16, "num_hidden_layers": 48, "num_key_value_heads": 8, "rope_scaling":
        {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024, "vocab_size": 262208}, "vision_config":
        {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
        "model_type": "siglip_vision_model"}},
        kv=393_216, parameters=12_176_338_944, active=11_765_268_480, weights=24_352_677_888, state=0,
    ),
)  # fmt: skip
