"""The table: every model_type that is understood, and how its config.json is read.

What a row does not say is the plain form: grouped-query attention by num_attention_heads, num_key_value_heads and
head_dim, gated MLPs of intermediate_size, experts by num_experts (n_routed_experts, num_local_experts) and the
standard names beside it. Sources: the configuration and model classes of transformers 5 and vLLM 0.32.
"""

from dataclasses import replace

from shadowprice.fleet.config import odd_names
from shadowprice.fleet.config.attention import Biases
from shadowprice.fleet.config.family import Family
from shadowprice.fleet.config.hybrids import GEMMA_3N, GEMMA_4, HYBRIDS, LLAMA_4, LONGCAT, learned_positions
from shadowprice.fleet.config.mlps import MlpForm

PLAIN = Family()
_QKV = Biases(qkv=True)
_TWO = MlpForm(matrices=2)

_GPT = {
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
}  # fmt: skip
_MPT = {"hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
_QWEN2 = Family(biases=_QKV, windowed=False)  # use_sliding_window is false unless the file says otherwise
_QWEN3 = Family(windowed=False)
_GEMMA = Family(tied=True, defaults={"head_dim": 256}, pattern="")
_GEMMA_2 = replace(_GEMMA, pattern="LG", defaults={"head_dim": 256, "sliding_window": 4096})
_GEMMA_3 = {
    "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096, "vocab_size": 262208,
}  # fmt: skip
_SHARED = {"n_shared_experts": "num_shared_experts"}
_BAILING = Family(names={**_SHARED, "shared_expert_intermediate_size": "moe_shared_expert_intermediate_size"})
_HUNYUAN = Family(names={"num_experts_per_tok": "moe_topk", "n_shared_experts": "num_shared_expert"}, pattern="")
_ERNIE = Family(tied=True, names={"attention_bias": "use_bias"})
_GPT_2 = Family(tied=True, mlp=_TWO, biases=_QKV, pattern="", names=_GPT, other=learned_positions)
_LATENT = Family(pattern="")

FAMILIES: dict[str, Family] = {
    # Plain decoders. A window, where the file has one, is every layer's.
    **dict.fromkeys(("llama", "ministral", "ministral3", "mistral", "mixtral", "phi3", "solar", "telechat3"), PLAIN),
    **dict.fromkeys(("olmo", "olmo2", "olmoe", "flex_olmo", "internlm", "xverse", "baichuan"), PLAIN),
    **dict.fromkeys(("granite", "granitemoe", "granite_swa", "granitemoe_swa", "hyperclovax", "helium"), PLAIN),
    **dict.fromkeys(("glm4_moe", "minimax_m2", "mellum", "orion", "bitnet", "cwm", "solar_open", "yi"), PLAIN),
    **dict.fromkeys(("glm", "glm4", "glm4v_text", "seed_oss"), Family(biases=_QKV)),
    **dict.fromkeys(("mistral3", "phi4mm", "phi3_v", "chameleon", "teleflm", "aquila", "glm4v_moe_text"), PLAIN),
    **dict.fromkeys(("stablelm_epoch",), Family(names={"attention_bias": "use_qkv_bias"})),
    "minicpm": Family(tied=True),
    "olmo3": Family(pattern="4"),
    "phimoe": Family(),
    "internlm2": Family(names={"attention_bias": "bias"}),
    "internlm3": Family(names={"attention_bias": "qkv_bias"}),
    "smollm3": Family(tied=True, windowed=False),
    "stablelm": Family(names={"attention_bias": "use_qkv_bias"}),
    "granitemoeshared": Family(names={"shared_expert_intermediate_size": "shared_intermediate_size"}),
    "dots1": Family(windowed=False),
    "hy_v3": Family(names=_SHARED),
    "laguna": Family(names={"attention_gate": "gating"}),
    "exaone": Family(names={"num_hidden_layers": "num_layers"}),
    "exaone4": Family(pattern="4"),
    "exaone_moe": Family(pattern="4", names=_SHARED),
    "afmoe": Family(
        pattern="4",
        biases=Biases(gated=True),
        names={
            **_SHARED, "first_k_dense_replace": "num_dense_layers",
            "sliding_window_pattern": "global_attn_every_n_layers",
        },
    ),
    "aria_text": Family(
        names={
            "num_experts": "moe_num_experts", "num_experts_per_tok": "moe_topk",
            "n_shared_experts": "moe_num_shared_experts",
        },
    ),
    **dict.fromkeys(("bailing_moe", "bailing_moe_v2"), _BAILING),
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe"), replace(_HUNYUAN, tied=True)),
    "hunyuan": _HUNYUAN,
    "ernie4_5": _ERNIE,
    "ernie4_5_moe": replace(
        _ERNIE,
        names={
            "num_experts": "moe_num_experts", "num_experts_per_tok": "moe_k",
            "n_shared_experts": "moe_num_shared_experts",
            "first_k_dense_replace": "moe_layer_start_index", "decoder_sparse_step": "moe_layer_interval",
            "attention_bias": "use_bias",
        },
    ),
    **dict.fromkeys(("step3_text", "step3"), Family(
        pattern="",
        names={
            "num_key_value_heads": "num_attention_groups", "num_experts": "moe_num_experts",
            "num_experts_per_tok": "moe_top_k", "moe_layers": "moe_layers_enum",
            "shared_expert_intermediate_size": "share_expert_dim", "q_rank": "share_q_dim",
        },
    )),
    "cohere": Family(tied=True, pattern=""),
    "cohere2": Family(tied=True, pattern="4"),
    "gpt_oss": Family(biases=_QKV, pattern="LG"),
    # Two matrices in the MLP, or the names of older houses.
    **dict.fromkeys(("apertus", "arcee"), Family(mlp=_TWO)),
    **dict.fromkeys(("nemotron", "nanochat"), Family(mlp=_TWO)),
    **dict.fromkeys(("jais2", "persimmon", "phi", "gpt_neox"), Family(mlp=_TWO, biases=_QKV)),
    "starcoder2": Family(mlp=_TWO, tied=True, names={"attention_bias": "use_bias"}, biases=_QKV),
    "falcon": Family(
        tied=True, mlp=_TWO, pattern="", prepare=odd_names.falcon,
        names={"intermediate_size": "ffn_hidden_size", "attention_bias": "bias"},
    ),
    "bloom": Family(
        tied=True, mlp=_TWO, biases=_QKV, pattern="",
        names={"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"},
    ),
    "mpt": Family(tied=True, mlp=_TWO, pattern="", names=_MPT, prepare=odd_names.mpt),
    "gpt2": _GPT_2,
    "gpt_bigcode": replace(_GPT_2, prepare=odd_names.multi_query),
    **dict.fromkeys(("gptj", "codegen"), Family(mlp=_TWO, pattern="", names=_GPT)),
    "gpt_neo": Family(
        tied=True, mlp=_TWO, names={"sliding_window": "window_size"}, prepare=odd_names.gpt_neo, other=learned_positions
    ),
    "opt": Family(
        tied=True, mlp=_TWO, biases=_QKV, pattern="", prepare=odd_names.opt, other=learned_positions,
        names={"intermediate_size": "ffn_dim", "attention_bias": "enable_bias"},
    ),
    "qwen": Family(biases=_QKV, mlp=MlpForm(halved=True), pattern="", names={"head_dim": "kv_channels"}),
    "chatglm": Family(
        biases=_QKV, pattern="", prepare=odd_names.chatglm,
        names={"intermediate_size": "ffn_hidden_size", "head_dim": "kv_channels", "attention_bias": "add_qkv_bias"},
    ),
    "dbrx": Family(pattern="", names=_MPT, prepare=odd_names.dbrx),
    "grok": Family(mlp=MlpForm(residual=1), pattern=""),
    # Qwen
    **dict.fromkeys(("qwen2", "mimo", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"), _QWEN2),
    **dict.fromkeys(("qwen2_audio", "qwen2_5_omni", "qwen2_5_omni_text", "qwen2_5_omni_thinker"), _QWEN2),
    **dict.fromkeys(("qwen3", "qwen3_moe", "qwen3_vl", "qwen3_vl_text", "qwen3_vl_moe", "qwen3_vl_moe_text"), _QWEN3),
    **dict.fromkeys(("qwen3_omni_moe", "qwen3_omni_moe_text", "qwen3_omni_moe_thinker"), _QWEN3),
    "qwen2_moe": replace(_QWEN2, names={"attention_bias": "qkv_bias"}),
    # Gemma
    "gemma": _GEMMA,
    **dict.fromkeys(("gemma2", "vaultgemma"), _GEMMA_2),
    **dict.fromkeys(("gemma3", "gemma3_text"), replace(_GEMMA, pattern="6", defaults=_GEMMA_3)),
    **dict.fromkeys(("gemma3n", "gemma3n_text"), GEMMA_3N),
    **dict.fromkeys(("gemma4", "gemma4_text"), GEMMA_4),
    # Multi-head latent attention, sparse or not
    **dict.fromkeys(("deepseek", "deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "axk1"), _LATENT),
    **dict.fromkeys(("glm_moe_dsa", "glm4_moe_lite"), _LATENT),
    **dict.fromkeys(("youtu", "minicpm3"), replace(_LATENT, tied=True)),
    "longcat_flash": LONGCAT,
    **dict.fromkeys(("llama4", "llama4_text"), LLAMA_4),
    **HYBRIDS,
}  # fmt: skip

# Classes that files of several types name, and the row that each is read by.
BY_ARCHITECTURE = {
    "Grok1ForCausalLM": "grok",
    "Grok1ModelForCausalLM": "grok",
    "BailingMoeLinearV2ForCausalLM": "bailing_moe_linear",
    "BailingMoeV2_5ForCausalLM": "bailing_moe_linear",
    "DeciLMForCausalLM": "deci",
    "MiniMaxText01ForCausalLM": "minimax_text_01",
    "MiniMaxM1ForCausalLM": "minimax_m1",
}
