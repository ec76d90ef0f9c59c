"""The shape of a model, and what follows from it: parameters, bytes and operations per token."""

import math
from dataclasses import dataclass, fields

from shadowprice.errors import FleetError
from shadowprice.fleet.names import did_you_mean

# Bits per quantised weight, scales included: one 16-bit scale per group of 128 for int4, one 8-bit scale per block
# of 32 for mxfp4 (OCP Microscaling specification) and of 16 for nvfp4.
WEIGHT_BITS = {
    "bf16": 16.0,
    "fp16": 16.0,
    "fp32": 32.0,
    "fp8": 8.0,
    "int8": 8.0,
    "int4": 4.125,
    "mxfp4": 4.25,
    "nvfp4": 4.5,
}
KV_BITS = {"bf16": 16, "fp16": 16, "fp32": 32, "fp8": 8}
_MAY_BE_ZERO = {
    "num_experts", "num_experts_per_tok", "num_moe_layers", "moe_intermediate_size", "shared_expert_intermediate_size",
    "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "v_head_dim", "sliding_window", "num_sliding_layers",
    "other_parameters", "intermediate_size",
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """Shape of a decoder-only transformer, in the names of Hugging Face's config.json where it has one.

    Parameters
    ----------
    name : str
        For titles and messages.
    hidden_size, num_hidden_layers, num_attention_heads, num_key_value_heads : int
        As in config.json.
    head_dim : int
        Of a query or key head; with multi-head latent attention, the part of it without position.
    intermediate_size : int
        Width of the MLP of the layers without experts.
    vocab_size : int
        Rows of the embedding.
    tie_word_embeddings : bool
        Whether the output layer shares the embedding's weights.
    mlp_matrices : int
        Three for a gated MLP, two for a plain one.
    qkv_bias : bool
        Whether the attention's projections carry biases.
    num_experts, num_experts_per_tok : int
        Experts of a layer that has them, and how many compute each token.
    num_moe_layers : int
        Layers that have experts.
    moe_intermediate_size, shared_expert_intermediate_size : int
        Width of one expert, and of all shared experts together.
    kv_lora_rank : int
        Above 0: multi-head latent attention (DeepSeek).
    q_lora_rank : int
        Zero: queries are not compressed.
    qk_rope_head_dim, v_head_dim : int
        With latent attention: the part of a query or key head with position, and the value head.
    sliding_window, num_sliding_layers : int
        So many layers attend to that many last tokens only.
    other_parameters : int
        Those outside the decoder (a vision tower).
    dtype : str
        Format of the weights as served, one of WEIGHT_BITS.

    Raises
    ------
    FleetError
        Naming the field when a number is impossible.
    """

    name: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool = False
    mlp_matrices: int = 3
    qkv_bias: bool = False
    num_experts: int = 0
    num_experts_per_tok: int = 0
    num_moe_layers: int = 0
    moe_intermediate_size: int = 0
    shared_expert_intermediate_size: int = 0
    kv_lora_rank: int = 0
    q_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    sliding_window: int = 0
    num_sliding_layers: int = 0
    other_parameters: int = 0
    dtype: str = "bf16"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                least = 0 if field.name in _MAY_BE_ZERO else 1
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    raise FleetError(f"model.{field.name} is {value!r}; expected a whole number >= {least}")
        if self.dtype not in WEIGHT_BITS:
            raise FleetError(f"model.dtype is {self.dtype!r}; {did_you_mean(str(self.dtype), WEIGHT_BITS)}")
        for part, whole in (
            ("num_moe_layers", "num_hidden_layers"),
            ("num_sliding_layers", "num_hidden_layers"),
            ("num_experts_per_tok", "num_experts"),
            ("num_key_value_heads", "num_attention_heads"),
        ):
            if getattr(self, part) > getattr(self, whole):
                raise FleetError(f"model.{part} is {getattr(self, part)}, more than {whole}, {getattr(self, whole)}")
        for some, needed in (
            (self.num_moe_layers, ("num_experts", "num_experts_per_tok", "moe_intermediate_size")),
            (self.num_hidden_layers - self.num_moe_layers, ("intermediate_size",)),
            (self.kv_lora_rank, ("qk_rope_head_dim", "v_head_dim")),
            (self.num_sliding_layers, ("sliding_window",)),
        ):
            for name in needed:
                if some and not getattr(self, name):
                    raise FleetError(f"model.{name} is 0; expected a whole number >= 1 for a model of this kind")

    @property
    def is_mla(self) -> bool:
        """Whether attention is multi-head latent attention, whose cache is one vector per token and layer."""
        return self.kv_lora_rank > 0

    @property
    def attention_parameters(self) -> int:
        """Of one layer, with its two norms' weights."""
        h, heads = self.hidden_size, self.num_attention_heads
        if self.is_mla:
            query_dim = heads * (self.head_dim + self.qk_rope_head_dim)
            query = self.q_lora_rank * (h + query_dim + 1) if self.q_lora_rank else h * query_dim
            latent = h * (self.kv_lora_rank + self.qk_rope_head_dim) + self.kv_lora_rank
            expand = self.kv_lora_rank * heads * (self.head_dim + self.v_head_dim)
            return query + latent + expand + heads * self.v_head_dim * h + 2 * h
        query_dim, kv_dim = heads * self.head_dim, 2 * self.num_key_value_heads * self.head_dim
        bias = query_dim + kv_dim if self.qkv_bias else 0
        return 2 * h * query_dim + h * kv_dim + bias + 2 * h

    @property
    def expert_parameters(self) -> int:
        """Of one routed expert in one layer."""
        return self.mlp_matrices * self.hidden_size * self.moe_intermediate_size

    @property
    def embedding_parameters(self) -> int:
        """Of the token embedding (the output head has as many again unless it is tied)."""
        return self.vocab_size * self.hidden_size

    @property
    def always_active_parameters(self) -> int:
        """Those that every token uses: all but the routed experts, the input embedding and the other parameters."""
        h = self.hidden_size
        dense_layers = self.num_hidden_layers - self.num_moe_layers
        dense_mlp = self.mlp_matrices * h * self.intermediate_size
        router_and_shared = h * self.num_experts + self.mlp_matrices * h * self.shared_expert_intermediate_size
        layers = self.num_hidden_layers * self.attention_parameters
        layers += dense_layers * dense_mlp + self.num_moe_layers * router_and_shared
        return layers + h + self.embedding_parameters

    @property
    def parameters(self) -> int:
        """All of them."""
        routed = self.num_moe_layers * self.num_experts * self.expert_parameters
        embedding = 0 if self.tie_word_embeddings else self.embedding_parameters
        return self.always_active_parameters + routed + embedding + self.other_parameters

    @property
    def multiplied_parameters(self) -> int:
        """Those in matrix products for one token; the input embedding is looked up, not multiplied."""
        return self.always_active_parameters + self.num_moe_layers * self.num_experts_per_tok * self.expert_parameters

    @property
    def active_parameters(self) -> int:
        """Active per token as most model cards count: the multiplied ones and the input embedding."""
        return self.multiplied_parameters + (0 if self.tie_word_embeddings else self.embedding_parameters)

    def weight_bytes(self, dtype: str | None = None) -> int:
        """Memory of the weights [bytes] in `dtype` (default: the model's own).

        Quantisation leaves embeddings, output head and other parameters at 16 bits, as published checkpoints do;
        mxfp4 quantises only the routed experts (gpt-oss).
        """
        dtype = dtype or self.dtype
        bits = WEIGHT_BITS[dtype]
        routed = self.num_moe_layers * self.num_experts * self.expert_parameters
        kept = (self.embedding_parameters * (1 if self.tie_word_embeddings else 2)) + self.other_parameters
        quantised = routed if dtype == "mxfp4" else self.parameters - kept
        return math.ceil((quantised * bits + (self.parameters - quantised) * max(bits, 16.0)) / 8)

    def kv_bytes_per_token_per_gpu(self, kv_dtype: str = "bf16", tensor_parallel_size: int = 1) -> float:
        """KV cache of one token on each GPU of a worker, every layer counted [bytes].

        Heads are divided over the GPUs and repeated where there are fewer heads than GPUs; the latent vector of
        multi-head latent attention is kept whole by each GPU (as vLLM does).
        """
        return self.num_hidden_layers * self._kv_bytes_per_layer(kv_dtype, tensor_parallel_size)

    def kv_bytes_per_token(self, kv_dtype: str = "bf16") -> float:
        """KV cache of one token, every layer counted [bytes]."""
        return self.kv_bytes_per_token_per_gpu(kv_dtype, 1)

    def kv_bytes(self, context_tokens: int, kv_dtype: str = "bf16", tensor_parallel_size: int = 1) -> float:
        """KV cache per GPU of one request with that much context [bytes]; sliding layers keep their window only."""
        sliding = min(context_tokens, self.sliding_window) * self.num_sliding_layers
        full = context_tokens * (self.num_hidden_layers - self.num_sliding_layers)
        return (sliding + full) * self._kv_bytes_per_layer(kv_dtype, tensor_parallel_size)

    def _kv_bytes_per_layer(self, kv_dtype: str, gpus: int) -> float:
        if kv_dtype not in KV_BITS:
            raise FleetError(f"kv_cache_dtype is {kv_dtype!r}; {did_you_mean(kv_dtype, KV_BITS)}")
        if self.is_mla:
            numbers = self.kv_lora_rank + self.qk_rope_head_dim
        else:
            numbers = 2 * math.ceil(self.num_key_value_heads / gpus) * self.head_dim
        return numbers * KV_BITS[kv_dtype] / 8

    def flops_per_token(self, context_tokens: float = 0.0, logits: bool = True) -> float:
        """Operations to compute one token that attends to `context_tokens` (a product and a sum are two).

        logits: with the output head, which an engine runs only for the tokens that it samples.
        """
        weights = self.multiplied_parameters - (0 if logits else self.embedding_parameters)
        full = context_tokens * (self.num_hidden_layers - self.num_sliding_layers)
        sliding = min(context_tokens, self.sliding_window) * self.num_sliding_layers
        value_dim = self.v_head_dim or self.head_dim
        query_dim = self.head_dim + self.qk_rope_head_dim
        return 2.0 * weights + 2.0 * self.num_attention_heads * (query_dim + value_dim) * (full + sliding)
