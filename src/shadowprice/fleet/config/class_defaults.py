"""What the configuration class of a type takes for sizes that a file leaves out, where transformers is installed."""

import importlib.util
import logging
import warnings
from collections.abc import Mapping
from typing import Any

# Only sizes: lists of layers and windows are the table's matter, so that files are read alike with and without it.
SIZES = (
    *(
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "intermediate_size",
    ),
    *("vocab_size", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"),
    *("num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size", "first_k_dense_replace"),
    *("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"),
)


def class_defaults(config: Mapping[str, Any], kind: str) -> dict[str, int]:
    """Sizes by their standard names; empty without shadowprice[transformers], or for a type that it has no class of."""
    if not kind or importlib.util.find_spec("transformers") is None:
        return {}
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers import CONFIG_MAPPING

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = CONFIG_MAPPING[kind](
                **{k: v for k, v in config.items() if k not in ("model_type", "quantization_config")}
            )
            found = {size: getattr(made, size, None) for size in SIZES}
        except Exception:  # the class may refuse what the table reads; then the file must say all by itself
            return {}
    return {k: v for k, v in found.items() if isinstance(v, int) and not isinstance(v, bool) and v > 0}
