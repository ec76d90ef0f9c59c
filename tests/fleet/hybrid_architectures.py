"""Public models with layers of several kinds: what each keeps and weighs, computed by hand."""

from architecture import Architecture

ARCHITECTURES = (
    # KV: (12 x 4 + 8 x 2 + 12 x 1) x 2 x 128 x 2
    # parameters: 32 x (4096 x 8192 + 3 x 4096 x 14336) + 4096 x 2 x 128 x (12 x 4 + 8 x 2 + 12 x 1) + 2 x 32000 x
    #     4096
    # weights: two bytes a parameter
    Architecture(
        "DeciLMForCausalLM", "DeciLM-7B",
        {"model_type": "deci", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads_per_layer": [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2,
        2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "vocab_size": 32000},
        kv=38_912, parameters=7_052_722_176, active=7_052_722_176, weights=14_105_444_352, state=0,
    ),
    # KV: 16 x 2 x 8 x 128 x 2
    # parameters: 32 x (4096 x 8192 + 3 x 4096 x 14336) + 16 x 4096 x 2048 + 128167 x 4096
    # weights: two bytes a parameter
    Architecture(
        "HunYuanDenseV1ForCausalLM", "Hunyuan-7B (cross-layer)",
        {"model_type": "hunyuan_v1_dense", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "use_cla": True, "cla_share_factor": 2,
        "vocab_size": 128167, "tie_word_embeddings": True},
        kv=65_536, parameters=7_370_076_160, active=7_370_076_160, weights=14_740_152_320, state=0,
    ),
    # KV: 61 x (576 x 2 + 132)
    # parameters: 61 x ((7168 x 1536 + 1536 x 24576 + 7168 x 576 + 512 x 32768 + 16384 x 7168) + 1536 x 8192 + 7168 x
    #     128 + 7168 x 64) + 58 x (256 x 3 x 7168 x 2048 + 3 x 7168 x 2048 + 7168 x 256) + 3 x 3 x 7168 x 18432 + 2 x
    #     129280 x 7168
    # active: 61 x ((7168 x 1536 + 1536 x 24576 + 7168 x 576 + 512 x 32768 + 16384 x 7168) + 1536 x 8192 + 7168 x 128
    #     + 7168 x 64) + 58 x (8 x 3 x 7168 x 2048 + 3 x 7168 x 2048 + 7168 x 256) + 3 x 3 x 7168 x 18432 + 2 x 129280
    #     x 7168
    # weights: two bytes a parameter
    Architecture(
        "DeepseekV32ForCausalLM", "DeepSeek-V3.2",
        {"model_type": "deepseek_v32", "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
        "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "moe_intermediate_size": 2048, "moe_layer_freq": 1, "first_k_dense_replace": 3, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "num_attention_heads": 128, "num_key_value_heads": 128,
        "num_hidden_layers": 61, "num_nextn_predict_layers": 1, "vocab_size": 129280, "tie_word_embeddings": False,
        "index_head_dim": 128, "index_n_heads": 64, "index_topk": 2048},
        kv=78_324, parameters=671_876_907_008, active=38_402_785_280, weights=1_343_753_814_016, state=0,
    ),
    # KV: 12 x 2 x 2 x 256 x 2
    # parameters: 36 x (2048 x (8192 + 4096) + 2048 x 64 + 8192 x 4 + 4096 x 2048) + 12 x (2048 x 2 x 4096 + 2048 x
    #     1024 + 4096 x 2048) + 48 x (512 x 3 x 2048 x 512 + 3 x 2048 x 512 + 2048 x 512) + 2 x 151936 x 2048
    # active: 36 x (2048 x (8192 + 4096) + 2048 x 64 + 8192 x 4 + 4096 x 2048) + 12 x (2048 x 2 x 4096 + 2048 x 1024 +
    #     4096 x 2048) + 48 x (10 x 3 x 2048 x 512 + 3 x 2048 x 512 + 2048 x 512) + 2 x 151936 x 2048
    # state: 36 x (8192 x 3 x 2 + 32 x 128 x 128 x 2)
    # weights: two bytes a parameter
    Architecture(
        "Qwen3NextForCausalLM", "Qwen3-Next-80B-A3B",
        {"model_type": "qwen3_next", "full_attention_interval": 4, "head_dim": 256, "hidden_size": 2048,
        "intermediate_size": 5120, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "moe_intermediate_size":
        512, "num_experts": 512, "num_experts_per_tok": 10, "num_attention_heads": 16, "num_key_value_heads": 2,
        "num_hidden_layers": 48, "shared_expert_intermediate_size": 512, "vocab_size": 151936},
        kv=24_576, parameters=79_674_081_280, active=3_874_619_392, weights=159_348_162_560, state=39_518_208,
    ),
    # KV: 4 x 2 x 8 x 128 x 2
    # parameters: 24 x (4096 x 18560 + 10240 x 5 + 8192 x 4096) + 4 x 4096 x 10240 + 24 x 2 x 4096 x 21504 + 2 x
    #     131072 x 4096
    # state: 24 x (10240 x 3 x 2 + 128 x 64 x 128 x 4)
    # weights: two bytes a parameter
    Architecture(
        "NemotronHForCausalLM", "Nemotron-H-8B",
        {"model_type": "nemotron_h", "hybrid_override_pattern":
        "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-", "hidden_size": 4096, "intermediate_size": 21504,
        "num_hidden_layers": 52, "num_attention_heads": 32, "num_key_value_heads": 8, "attention_head_dim": 128,
        "ssm_state_size": 128, "mamba_num_heads": 128, "vocab_size": 131072},
        kv=16_384, parameters=8_100_429_824, active=8_100_429_824, weights=16_200_859_648, state=102_137_856,
    ),
    # KV: 4 x 2 x 8 x 128 x 2
    # parameters: 36 x (4096 x 16768 + 8448 x 5 + 8192 x 4096) + 4 x 4096 x 10240 + 40 x (72 x 3 x 4096 x 768 + 3 x
    #     4096 x 1536 + 4096 x 72) + 100352 x 4096
    # active: 36 x (4096 x 16768 + 8448 x 5 + 8192 x 4096) + 4 x 4096 x 10240 + 40 x (10 x 3 x 4096 x 768 + 3 x 4096 x
    #     1536 + 4096 x 72) + 100352 x 4096
    # state: 36 x (8448 x 3 x 2 + 128 x 64 x 128 x 2)
    # weights: two bytes a parameter
    Architecture(
        "GraniteMoeHybridForCausalLM", "granite-4.0-h-small",
        {"model_type": "granitemoehybrid", "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 768, "shared_intermediate_size": 1536, "num_local_experts": 72,
        "num_experts_per_tok": 10, "vocab_size": 100352, "tie_word_embeddings": True, "mamba_n_heads": 128,
        "mamba_d_head": 64, "mamba_d_state": 128, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_groups": 1,
        "mamba_chunk_size": 256, "layer_types": ["mamba", "mamba", "mamba", "mamba", "mamba", "attention", "mamba",
        "mamba", "mamba", "mamba"] * 4},
        kv=16_384, parameters=32_206_697_472, active=8_802_481_152, weights=64_413_394_944, state=77_322_240,
    ),
    # KV: 4 x 2 x 8 x 128 x 2
    # parameters: 28 x (4096 x 16384 + 8192 x (256 + 32) + 256 x 8192 + 8192 x 4096 + 8192 x (4 + 16)) + 4 x 4096 x
    #     10240 + 16 x (16 x 3 x 4096 x 14336 + 4096 x 16) + 16 x 3 x 4096 x 14336 + 2 x 65536 x 4096
    # active: 28 x (4096 x 16384 + 8192 x (256 + 32) + 256 x 8192 + 8192 x 4096 + 8192 x (4 + 16)) + 4 x 4096 x 10240
    #     + 16 x (2 x 3 x 4096 x 14336 + 4096 x 16) + 16 x 3 x 4096 x 14336 + 2 x 65536 x 4096
    # state: 28 x (8192 x 3 x 2 + 8192 x 16 x 2)
    # weights: two bytes a parameter
    Architecture(
        "JambaForCausalLM", "Jamba-v0.1",
        {"model_type": "jamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 65536, "num_experts": 16,
        "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1, "attn_layer_period": 8,
        "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 256,
        "tie_word_embeddings": False},
        kv=16_384, parameters=51_569_360_896, active=12_109_348_864, weights=103_138_721_792, state=8_716_288,
    ),
    # KV: 3 x 2 x 8 x 128 x 2
    # parameters: 29 x (4096 x 16768 + 8448 x 5 + 8192 x 4096) + 3 x 4096 x 10240 + 32 x 3 x 4096 x 14336 + 2 x 128256
    #     x 4096
    # state: 29 x (8448 x 3 x 2 + 128 x 64 x 128 x 2)
    # weights: two bytes a parameter
    Architecture(
        "BambaForCausalLM", "Bamba-9B",
        {"model_type": "bamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "attn_layer_indices": [9, 18, 27],
        "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_d_conv": 4, "mamba_expand": 2,
        "mamba_n_groups": 1, "tie_word_embeddings": False},
        kv=12_288, parameters=9_779_720_448, active=9_779_720_448, weights=19_559_440_896, state=62_287_360,
    ),
    # KV: 0
    # parameters: 64 x (4096 x 16384 + 8192 x (256 + 32) + 256 x 8192 + 8192 x 4096 + 8192 x (4 + 16)) + 2 x 65024 x
    #     4096
    # state: 64 x (8192 x 3 x 2 + 8192 x 16 x 2)
    # weights: two bytes a parameter
    Architecture(
        "FalconMambaForCausalLM", "falcon-mamba-7b",
        {"model_type": "falcon_mamba", "hidden_size": 4096, "num_hidden_layers": 64, "state_size": 16, "conv_kernel":
        4, "expand": 2, "intermediate_size": 8192, "time_step_rank": 256, "vocab_size": 65024, "tie_word_embeddings":
        False},
        kv=0, parameters=7_270_825_984, active=7_270_825_984, weights=14_541_651_968, state=19_922_944,
    ),
    # KV: 0
    # parameters: 64 x (4096 x 18560 + 10240 x 5 + 8192 x 4096) + 2 x 32768 x 4096
    # state: 64 x (10240 x 3 x 2 + 128 x 64 x 128 x 2)
    # weights: two bytes a parameter
    Architecture(
        "Mamba2ForCausalLM", "Mamba-Codestral-7B",
        {"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "state_size": 128, "num_heads": 128,
        "head_dim": 64, "n_groups": 8, "conv_kernel": 4, "expand": 2, "vocab_size": 32768, "tie_word_embeddings":
        False},
        kv=0, parameters=7_284_588_544, active=7_284_588_544, weights=14_569_177_088, state=138_149_888,
    ),
    # KV: 7 x 576 x 2
    # parameters: 20 x (4 x 2304 x 4096 + 3 x 4096 x 4 + 2 x (2304 x 128 + 128 x 4096) + 2304 x 32) + 7 x (2304 x 6144
    #     + 2304 x 576 + 512 x 8192 + 4096 x 2304) + 26 x (256 x 3 x 2304 x 1024 + 3 x 2304 x 1024 + 2304 x 256) + 3 x
    #     2304 x 9216 + 2 x 163840 x 2304
    # active: 20 x (4 x 2304 x 4096 + 3 x 4096 x 4 + 2 x (2304 x 128 + 128 x 4096) + 2304 x 32) + 7 x (2304 x 6144 +
    #     2304 x 576 + 512 x 8192 + 4096 x 2304) + 26 x (8 x 3 x 2304 x 1024 + 3 x 2304 x 1024 + 2304 x 256) + 3 x
    #     2304 x 9216 + 2 x 163840 x 2304
    # state: 20 x (3 x 4096 x 3 x 2 + 32 x 128 x 128 x 4)
    # weights: two bytes a parameter
    Architecture(
        "KimiLinearForCausalLM", "Kimi-Linear-48B-A3B",
        {"model_type": "kimi_linear", "hidden_size": 2304, "num_hidden_layers": 27, "num_attention_heads": 32,
        "num_key_value_heads": 32, "head_dim": 72, "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "mla_use_nope": True, "intermediate_size": 9216,
        "moe_intermediate_size": 1024, "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "vocab_size": 163840, "linear_attn_config":
        {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "kda_layers": [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17,
        18, 19, 21, 22, 23, 25, 26], "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4}},
        kv=8_064, parameters=49_122_459_648, active=3_484_237_824, weights=98_244_919_296, state=43_417_600,
    ),
    # KV: 10 x 2 x 8 x 128 x 2
    # parameters: 70 x 5 x 6144 x 8192 + 10 x 6144 x 18432 + 80 x (32 x 3 x 6144 x 9216 + 6144 x 32) + 2 x 200064 x
    #     6144
    # active: 70 x 5 x 6144 x 8192 + 10 x 6144 x 18432 + 80 x (2 x 3 x 6144 x 9216 + 6144 x 32) + 2 x 200064 x 6144
    # state: 70 x 64 x 128 x 128 x 2
    # weights: two bytes a parameter
    Architecture(
        "MiniMaxText01ForCausalLM", "MiniMax-Text-01",
        {"model_type": "minimax_text_01", "hidden_size": 6144, "num_hidden_layers": 80, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9216, "num_local_experts": 32,
        "num_experts_per_tok": 2, "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10, "vocab_size": 200064,
        "shared_intermediate_size": 0},
        kv=40_960, parameters=456_088_092_672, active=48_401_743_872, weights=912_176_185_344, state=146_800_640,
    ),
    # KV: 4 x 2 x 4 x 128 x 2
    # parameters: 16 x 5 x 2048 x 2048 + 4 x 2048 x 5120 + 19 x (256 x 3 x 2048 x 512 + 3 x 2048 x 512 + 2048 x 256) +
    #     3 x 2048 x 5120 + 2 x 157184 x 2048
    # active: 16 x 5 x 2048 x 2048 + 4 x 2048 x 5120 + 19 x (8 x 3 x 2048 x 512 + 3 x 2048 x 512 + 2048 x 256) + 3 x
    #     2048 x 5120 + 2 x 157184 x 2048
    # state: 16 x 16 x 128 x 128 x 2
    # weights: two bytes a parameter
    Architecture(
        "BailingMoeV2_5ForCausalLM", "Ring-mini-linear-2.0",
        {"model_type": "bailing_moe_linear", "first_k_dense_replace": 1, "group_norm_size": 4, "head_dim": 128,
        "hidden_size": 2048, "intermediate_size": 5120, "layer_group_size": 5, "linear_silu": False,
        "moe_intermediate_size": 512, "moe_shared_expert_intermediate_size": 512, "num_attention_heads": 16,
        "num_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 20, "num_key_value_heads": 4,
        "num_shared_experts": 1, "vocab_size": 157184, "architectures": ["BailingMoeV2_5ForCausalLM"]},
        kv=8_192, parameters=16_423_321_600, active=1_600_651_264, weights=32_846_643_200, state=8_388_608,
    ),
    # KV: 12 x 2 x 1 x 256 x 2
    # parameters: 26 x (3 x 4096 x 4096 + 2 x 4096 x 256 + 8 x 4096 + 4 x 4096) + 12 x 4096 x 8704 + 38 x 3 x 4096 x
    #     12288 + 256000 x 4096
    # state: 26 x (4096 x 4 + 4096 x 3 x 2)
    # weights: two bytes a parameter
    Architecture(
        "RecurrentGemmaForCausalLM", "recurrentgemma-9b",
        {"model_type": "recurrent_gemma", "hidden_size": 4096, "intermediate_size": 24576, "num_hidden_layers": 38,
        "num_attention_heads": 16, "num_key_value_heads": 1, "head_dim": 256, "attention_window_size": 2048,
        "block_types": ["recurrent", "recurrent", "attention"], "lru_width": 4096, "conv1d_width": 4, "vocab_size":
        256000},
        kv=12_288, parameters=8_578_629_632, active=8_578_629_632, weights=17_157_259_264, state=1_064_960,
    ),
    # KV: 6 x 2 x 8 x 64 x 2
    # parameters: 10 x (4 x 2048 x 2048 + 2048 x 3) + 6 x 2048 x 5120 + 16 x 3 x 2048 x 8192 + 65536 x 2048
    # state: 10 x 2048 x 2 x 2
    # weights: two bytes a parameter
    Architecture(
        "Lfm2ForCausalLM", "LFM2-1.2B",
        {"model_type": "lfm2", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "block_ff_dim": 12288, "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier":
        1.0, "block_multiple_of": 256, "block_dim": 2048, "conv_L_cache": 3, "full_attn_idxs": [2, 5, 8, 10, 12, 14],
        "vocab_size": 65536},
        kv=12_288, parameters=1_170_272_256, active=1_170_272_256, weights=2_340_544_512, state=81_920,
    ),
    # KV: 9 x 4 x (192 + 128) x 2 + 39 x 8 x (192 + 128) x 2
    # parameters: 9 x (4096 x (64 x 192 + 4 x 192 + 4 x 128) + 64 x 128 x 4096) + 39 x (4096 x (64 x 192 + 8 x 192 + 8
    #     x 128) + 64 x 128 x 4096) + 47 x (256 x 3 x 4096 x 2048 + 4096 x 256) + 3 x 4096 x 16384 + 2 x 152576 x 4096
    # active: 9 x (4096 x (64 x 192 + 4 x 192 + 4 x 128) + 64 x 128 x 4096) + 39 x (4096 x (64 x 192 + 8 x 192 + 8 x
    #     128) + 64 x 128 x 4096) + 47 x (8 x 3 x 4096 x 2048 + 4096 x 256) + 3 x 4096 x 16384 + 2 x 152576 x 4096
    # weights: two bytes a parameter
    Architecture(
        "MiMoV2FlashForCausalLM", "MiMo-V2-Flash",
        {"model_type": "mimo_v2_flash", "hidden_size": 4096, "num_hidden_layers": 48, "num_attention_heads": 64,
        "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "swa_num_attention_heads": 64,
        "swa_num_key_value_heads": 8, "swa_head_dim": 192, "swa_v_head_dim": 128, "sliding_window": 128,
        "hybrid_layer_pattern": [0, *[1] * 4, 0, *[1] * 5, 0, *[1] * 5, 0, *[1] * 5, 0, *[1] * 5, 0, *[1] * 5, 0, *[1]
        * 5, 0, *[1] * 5, 0], "moe_layer_freq": [0, *[1] * 47], "intermediate_size": 16384, "moe_intermediate_size":
        2048, "n_routed_experts": 256, "num_experts_per_tok": 8, "vocab_size": 152576},
        kv=222_720, parameters=308_778_369_024, active=15_445_524_480, weights=617_556_738_048, state=0,
    ),
    # KV: 20 x 2 x 2 x 256 x 2
    # parameters: 35 x (2 x 2048 x 2048 + 3 x 2048 x 16384) + 20 x 2048 x 1024 + 262400 x 2048 + 35 x 256 x (262144 +
    #     3 x 2048) + 35 x 2 x 2048 x 64 + 6 x 2048 x 2048
    # active: 35 x (2 x 2048 x 2048 + 3 x 2048 x 16384) + 20 x 2048 x 1024 + 262400 x 2048
    # weights: two bytes a parameter
    Architecture(
        "Gemma3nForConditionalGeneration", "gemma-3n-E4B (text)",
        {"model_type": "gemma3n_text", "hidden_size": 2048, "num_hidden_layers": 35, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": [16384] * 35, "sliding_window": 512,
        "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention",
        "full_attention"] * 7, "num_kv_shared_layers": 15, "vocab_size": 262400, "vocab_size_per_layer_input": 262144,
        "hidden_size_per_layer_input": 256, "laurel_rank": 64, "altup_num_inputs": 4},
        kv=40_960, parameters=6_834_356_224, active=4_396_154_880, weights=13_668_712_448, state=0,
    ),
    # KV: 8 x 2 x 30 x 128 x 2
    # parameters: 24 x (3840 x (11520 + 5760) + 3840 x 60 + 11520 x 4 + 5760 x 3840) + 8 x 3840 x 15360 + 32 x 3 x
    #     3840 x 11008 + 2 x 100352 x 3840
    # state: 24 x (11520 x 3 x 2 + 30 x 96 x 192 x 2)
    # weights: two bytes a parameter
    Architecture(
        "OlmoHybridForCausalLM", "Olmo-Hybrid-7B",
        {"model_type": "olmo_hybrid", "hidden_size": 3840, "num_hidden_layers": 32, "num_attention_heads": 30,
        "num_key_value_heads": 30, "intermediate_size": 11008, "vocab_size": 100352, "layer_types":
        ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 8, "linear_num_key_heads":
        30, "linear_num_value_heads": 30, "linear_key_head_dim": 96, "linear_value_head_dim": 192,
        "linear_conv_kernel_dim": 4},
        kv=122_880, parameters=7_430_553_600, active=7_430_553_600, weights=14_861_107_200, state=28_200_960,
    ),
)  # fmt: skip
