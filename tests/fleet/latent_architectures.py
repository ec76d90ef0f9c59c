"""Public models with latent attention: what each keeps and weighs, computed by hand."""

from architecture import Architecture

ARCHITECTURES = (
    # KV: 27 x 576 x 2
    # parameters: 27 x (2048 x 3072 + 2048 x 576 + 512 x 4096 + 2048 x 2048) + 26 x (64 x 3 x 2048 x 1408 + 3 x 2048 x
    #     2816 + 2048 x 64) + 1 x 3 x 2048 x 10944 + 2 x 102400 x 2048
    # active: 27 x (2048 x 3072 + 2048 x 576 + 512 x 4096 + 2048 x 2048) + 26 x (6 x 3 x 2048 x 1408 + 3 x 2048 x 2816
    #     + 2048 x 64) + 1 x 3 x 2048 x 10944 + 2 x 102400 x 2048
    # weights: two bytes a parameter
    Architecture(
        "DeepseekV2ForCausalLM", "DeepSeek-V2-Lite",
        {"model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 102400, "tie_word_embeddings": False, "num_experts_per_tok": 6,
        "moe_intermediate_size": 1408, "intermediate_size": 10944, "n_routed_experts": 64, "kv_lora_rank": 512,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "q_lora_rank": None, "n_shared_experts":
        2, "first_k_dense_replace": 1, "moe_layer_freq": 1},
        kv=31_104, parameters=15_706_357_760, active=2_661_023_744, weights=31_412_715_520, state=0,
    ),
    # KV: 61 x 576 x 2
    # parameters: 61 x (7168 x 1536 + 1536 x 24576 + 7168 x 576 + 512 x 32768 + 16384 x 7168) + 58 x (256 x 3 x 7168 x
    #     2048 + 3 x 7168 x 2048 + 7168 x 256) + 3 x 3 x 7168 x 18432 + 2 x 129280 x 7168
    # active: 61 x (7168 x 1536 + 1536 x 24576 + 7168 x 576 + 512 x 32768 + 16384 x 7168) + 58 x (8 x 3 x 7168 x 2048
    #     + 3 x 7168 x 2048 + 7168 x 256) + 3 x 3 x 7168 x 18432 + 2 x 129280 x 7168
    # weights: 61 x (7168 x 1536 + 1536 x 24576 + 7168 x 576 + 512 x 32768 + 16384 x 7168) + 58 x (256 x 3 x 7168 x
    #     2048 + 3 x 7168 x 2048 + 7168 x 256) + 3 x 3 x 7168 x 18432 + 2 x 129280 x 7168 + 2 x 129280 x 7168
    Architecture(
        "DeepseekV3ForCausalLM", "DeepSeek-V3",
        {"model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128,
        "num_key_value_heads": 128, "vocab_size": 129280, "tie_word_embeddings": False, "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048, "intermediate_size": 18432, "n_routed_experts": 256, "kv_lora_rank": 512,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "q_lora_rank": 1536, "n_shared_experts":
        1, "first_k_dense_replace": 3, "moe_layer_freq": 1, "num_nextn_predict_layers": 1, "n_group": 8, "topk_group":
        4, "ep_size": 1, "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128,
        128]}},
        kv=70_272, parameters=671_025_397_760, active=37_551_276_032, weights=672_878_755_840, state=0,
    ),
    # KV: 47 x 576 x 2
    # parameters: 47 x (2048 x 768 + 768 x 5120 + 2048 x 576 + 512 x 8960 + 5120 x 2048) + 46 x (64 x 3 x 2048 x 1536
    #     + 3 x 2048 x 1536 + 2048 x 64) + 1 x 3 x 2048 x 10240 + 2 x 154880 x 2048
    # active: 47 x (2048 x 768 + 768 x 5120 + 2048 x 576 + 512 x 8960 + 5120 x 2048) + 46 x (4 x 3 x 2048 x 1536 + 3 x
    #     2048 x 1536 + 2048 x 64) + 1 x 3 x 2048 x 10240 + 2 x 154880 x 2048
    # weights: two bytes a parameter
    Architecture(
        "Glm4MoeLiteForCausalLM", "GLM-4.7-Flash",
        {"model_type": "glm4_moe_lite", "hidden_size": 2048, "num_hidden_layers": 47, "num_attention_heads": 20,
        "num_key_value_heads": 20, "vocab_size": 154880, "tie_word_embeddings": False, "num_experts_per_tok": 4,
        "moe_intermediate_size": 1536, "intermediate_size": 10240, "head_dim": 102, "n_routed_experts": 64,
        "kv_lora_rank": 512, "q_lora_rank": 768, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
        "n_shared_experts": 1, "mlp_layer_types": ["dense", *["sparse"] * 46]},
        kv=54_144, parameters=29_943_136_256, active=3_896_508_416, weights=59_886_272_512, state=0,
    ),
    # KV: 61 x 576 x 2
    # parameters: 61 x (7168 x 1536 + 1536 x 12288 + 7168 x 576 + 512 x 16384 + 8192 x 7168) + 60 x (384 x 3 x 7168 x
    #     2048 + 3 x 7168 x 2048 + 7168 x 384) + 3 x 7168 x 18432 + 2 x 163840 x 7168
    # active: 61 x (7168 x 1536 + 1536 x 12288 + 7168 x 576 + 512 x 16384 + 8192 x 7168) + 60 x (8 x 3 x 7168 x 2048 +
    #     3 x 7168 x 2048 + 7168 x 384) + 3 x 7168 x 18432 + 2 x 163840 x 7168
    # weights: 60 x 384 x 3 x 7168 x 2048 x 4.5 / 8 + 2 x (61 x (7168 x 1536 + 1536 x 12288 + 7168 x 576 + 512 x 16384
    #     + 8192 x 7168) + 60 x (0 x 3 x 7168 x 2048 + 3 x 7168 x 2048 + 7168 x 384) + 3 x 7168 x 18432 + 2 x 163840 x
    #     7168)
    Architecture(
        "KimiK2ForCausalLM", "Kimi-K2-Thinking",
        {"model_type": "kimi_k2", "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512, "q_lora_rank":
        1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "moe_intermediate_size": 2048,
        "moe_layer_freq": 1, "first_k_dense_replace": 1, "n_routed_experts": 384, "n_shared_experts": 1,
        "num_experts_per_tok": 8, "num_attention_heads": 64, "num_key_value_heads": 64, "num_hidden_layers": 61,
        "num_nextn_predict_layers": 1, "vocab_size": 163840, "tie_word_embeddings": False, "quantization_config":
        {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {"targets":
        ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32, "strategy": "group", "symmetric":
        True}}}, "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
        "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]}},
        kv=70_272, parameters=1_026_407_202_816, active=32_860_471_296, weights=594_203_246_592, state=0,
    ),
    # KV: 2 x 28 x 576 x 2
    # parameters: 56 x (6144 x 1536 + 1536 x 12288 + 6144 x 576 + 512 x 16384 + 8192 x 6144) + 28 x (512 x 3 x 6144 x
    #     2048 + 6144 x 512) + 56 x 3 x 6144 x 12288 + 2 x 131072 x 6144
    # active: 56 x (6144 x 1536 + 1536 x 12288 + 6144 x 576 + 512 x 16384 + 8192 x 6144) + 28 x (12 x 3 x 6144 x 2048
    #     + 6144 x 512) + 56 x 3 x 6144 x 12288 + 2 x 131072 x 6144
    # weights: two bytes a parameter
    Architecture(
        "LongcatFlashForCausalLM", "LongCat-Flash",
        {"model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "num_attention_heads": 64,
        "ffn_hidden_size": 12288, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "moe_topk": 12, "n_routed_experts": 512, "zero_expert_num": 256,
        "zero_expert_type": "identity", "expert_ffn_hidden_size": 2048, "vocab_size": 131072},
        kv=64_512, parameters=560_620_109_824, active=32_137_805_824, weights=1_121_240_219_648, state=0,
    ),
    # KV: 62 x 288 x 2
    # parameters: 62 x ((2560 x 768 + 768 x 3840 + 2560 x 288 + 256 x 5120 + 2560 x 2560) + 3 x 2560 x 6400) + 73448 x
    #     2560
    # weights: two bytes a parameter
    Architecture(
        "MiniCPM3ForCausalLM", "MiniCPM3-4B",
        {"model_type": "minicpm3", "hidden_size": 2560, "num_hidden_layers": 62, "num_attention_heads": 40,
        "num_key_value_heads": 40, "q_lora_rank": 768, "kv_lora_rank": 256, "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 32, "v_head_dim": 64, "intermediate_size": 6400, "vocab_size": 73448},
        kv=35_712, parameters=4_073_492_480, active=4_073_492_480, weights=8_146_984_960, state=0,
    ),
    # KV: 30 x 576 x 2
    # parameters: 30 x (2560 x 6144 + 2560 x 576 + 512 x 8192 + 4096 x 2560) + 29 x (72 x 3 x 2560 x 1536 + 3 x 2560 x
    #     3072 + 2560 x 72) + 3 x 2560 x 12288 + 2 x 129280 x 2560
    # active: 30 x (2560 x 6144 + 2560 x 576 + 512 x 8192 + 4096 x 2560) + 29 x (6 x 3 x 2560 x 1536 + 3 x 2560 x 3072
    #     + 2560 x 72) + 3 x 2560 x 12288 + 2 x 129280 x 2560
    # weights: two bytes a parameter
    Architecture(
        "DeepseekVLV2ForCausalLM", "deepseek-vl2 (text)",
        {"model_type": "deepseek_vl_v2", "language_config": {"model_type": "deepseek_v2", "hidden_size": 2560,
        "intermediate_size": 12288, "moe_intermediate_size": 1536, "n_routed_experts": 72, "n_shared_experts": 2,
        "num_experts_per_tok": 6, "first_k_dense_replace": 1, "num_attention_heads": 32, "num_hidden_layers": 30,
        "num_key_value_heads": 32, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim":
        128, "vocab_size": 129280}},
        kv=34_560, parameters=27_033_374_720, active=4_454_912_000, weights=54_066_749_440, state=0,
    ),
)  # fmt: skip
