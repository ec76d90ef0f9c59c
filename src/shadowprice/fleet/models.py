"""The shape of a model, and what follows from it: parameters, bytes and operations per token."""

import math
from dataclasses import dataclass, fields, replace

from shadowprice.errors import FleetError
from shadowprice.fleet.formats import WEIGHT_BITS, kv_bits
from shadowprice.fleet.layers import Mixer, Mlp
from shadowprice.fleet.names import did_you_mean

PARTS = ("attention", "mlp", "router", "shared_experts", "experts", "embedding", "head", "other")
_MAY_BE_ZERO = {
    "num_experts", "num_experts_per_tok", "num_moe_layers", "moe_intermediate_size", "shared_expert_intermediate_size",
    "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "v_head_dim", "sliding_window", "num_sliding_layers",
    "other_parameters", "intermediate_size",
}  # fmt: skip

_OF_ATTENTION = {"num_attention_heads", "num_key_value_heads", "head_dim"}


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
        Those outside the layers (a vision tower).
    dtype : str
        Format of the weights as served, one of WEIGHT_BITS.
    mixers, mlps : tuple of Mixer, tuple of Mlp
        What the layers consist of where they are not alike; the numbers above then only name the model's size.
    part_bits : tuple of (str, float)
        Bits per weight of the parts, of PARTS, whose format is not what dtype says.

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
    mixers: tuple[Mixer, ...] = ()
    mlps: tuple[Mlp, ...] = ()
    part_bits: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                least = 0 if field.name in _MAY_BE_ZERO or (self.mixers and field.name in _OF_ATTENTION) else 1
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    raise FleetError(f"model.{field.name} is {value!r}; expected a whole number >= {least}")
        if self.dtype not in WEIGHT_BITS:
            raise FleetError(f"model.dtype is {self.dtype!r}; {did_you_mean(str(self.dtype), WEIGHT_BITS)}")
        for part, bits in self.part_bits:
            if part not in PARTS:
                raise FleetError(f"model.part_bits has {part!r}; {did_you_mean(str(part), PARTS)}")
            if not isinstance(bits, (int, float)) or not 0 < bits <= 64:
                raise FleetError(f"model.part_bits.{part} is {bits!r}; expected 0 < bits per weight <= 64")
        if not self.mixers and not self.mlps:
            self._check_plain()

    def _check_plain(self) -> None:
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
    def mixer_groups(self) -> tuple[Mixer, ...]:
        """Groups of equal mixers: as given, or full and sliding ones by the plain fields."""
        if self.mixers:
            return self.mixers
        mla = self.is_mla
        key_dim, value_dim = self.head_dim + self.qk_rope_head_dim, self.v_head_dim or self.head_dim
        full = Mixer(
            count=max(1, self.num_hidden_layers - self.num_sliding_layers),
            parameters=self._attention_parameters,
            kv_heads=0 if mla else self.num_key_value_heads,
            kv_dim=self.kv_lora_rank + self.qk_rope_head_dim if mla else 2 * self.head_dim,
            attention_dim=self.num_attention_heads * (key_dim + value_dim),
        )
        if not self.num_sliding_layers:
            return (full,)
        sliding = replace(full, count=self.num_sliding_layers, window=self.sliding_window)
        return (full, sliding) if self.num_sliding_layers < self.num_hidden_layers else (sliding,)

    @property
    def mlp_groups(self) -> tuple[Mlp, ...]:
        """Groups of equal MLPs: as given, or dense ones and those with experts by the plain fields."""
        if self.mlps:
            return self.mlps
        h, matrices, groups = self.hidden_size, self.mlp_matrices, []
        dense = self.num_hidden_layers - self.num_moe_layers
        if dense:
            groups.append(Mlp(dense, matrices * h * self.intermediate_size, width=self.intermediate_size))
        if self.num_moe_layers:
            shared, expert = self.shared_expert_intermediate_size, self.moe_intermediate_size
            groups.append(
                Mlp(
                    count=self.num_moe_layers,
                    parameters=h * self.num_experts,
                    shared_parameters=matrices * h * shared,
                    num_experts=self.num_experts,
                    expert_parameters=matrices * h * expert,
                    num_experts_per_tok=self.num_experts_per_tok,
                    width=self.num_experts_per_tok * expert + shared,
                )
            )
        return tuple(groups)

    @property
    def _attention_parameters(self) -> int:
        """Of one plain layer, with its two norms' weights."""
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
        """Of one routed expert in one layer, the largest where they differ; 0 without experts."""
        return max((mlp.expert_parameters for mlp in self.mlp_groups), default=0)

    @property
    def embedding_parameters(self) -> int:
        """Of the token embedding (the output head has as many again unless it is tied)."""
        return self.vocab_size * self.hidden_size

    @property
    def parts(self) -> dict[str, int]:
        """Parameters by PARTS, all of them; norms count with the attention, a tied head is no part."""
        mlps = self.mlp_groups
        return {
            "attention": sum(m.count * m.parameters for m in self.mixer_groups) + self.hidden_size,
            "mlp": sum(m.count * m.parameters for m in mlps if not m.num_experts),
            "router": sum(m.count * m.parameters for m in mlps if m.num_experts),
            "shared_experts": sum(m.count * m.shared_parameters for m in mlps),
            "experts": sum(m.count * m.routed_parameters for m in mlps),
            "embedding": self.embedding_parameters,
            "head": 0 if self.tie_word_embeddings else self.embedding_parameters,
            "other": self.other_parameters,
        }

    @property
    def always_active_parameters(self) -> int:
        """Those that every token uses: all but the routed experts, the input embedding and the other parameters."""
        parts = self.parts
        every = parts["attention"] + parts["mlp"] + parts["router"] + parts["shared_experts"]
        return every + self.embedding_parameters

    @property
    def parameters(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    @property
    def multiplied_parameters(self) -> int:
        """Those in matrix products for one token; the input embedding is looked up, not multiplied."""
        routed = sum(m.count * m.num_experts_per_tok * m.expert_parameters for m in self.mlp_groups)
        return self.always_active_parameters + routed

    @property
    def active_parameters(self) -> int:
        """Active per token as most model cards count: the multiplied ones and the input embedding."""
        return self.multiplied_parameters + (0 if self.tie_word_embeddings else self.embedding_parameters)

    def bits(self, dtype: str | None = None) -> dict[str, float]:
        """Bits per weight of each of PARTS in `dtype` (default: the model's own, as its checkpoint says).

        Quantisation leaves embeddings, output head and other parameters at 16 bits, as published checkpoints do, and
        mxfp4 quantises only the routed experts (gpt-oss), unless part_bits says otherwise.
        """
        weights = WEIGHT_BITS[dtype or self.dtype]
        whole = max(weights, 16.0)
        only_experts = (dtype or self.dtype) == "mxfp4"
        layers = dict.fromkeys(PARTS[:4], whole if only_experts else weights)
        found = layers | {"experts": weights} | dict.fromkeys(PARTS[5:], whole)
        return found | dict(self.part_bits) if dtype in (None, self.dtype) else found

    def weight_bytes(self, dtype: str | None = None) -> int:
        """Memory of the weights [bytes] in `dtype` (default: the model's own)."""
        bits = self.bits(dtype)
        return math.ceil(sum(count * bits[part] for part, count in self.parts.items()) / 8)

    def kv_bytes_per_token_per_gpu(self, kv_dtype: str = "bf16", tensor_parallel_size: int = 1) -> float:
        """KV cache that one more token takes on each GPU of a worker while no window is full [bytes].

        Heads are divided over the GPUs and repeated where there are fewer heads than GPUs; the latent vector of
        multi-head latent attention is kept whole by each GPU (as vLLM does).
        """
        bits = kv_bits(kv_dtype)
        kept = [m for m in self.mixer_groups if m.kept]
        return float(sum(m.count * (m.token_bytes(bits, tensor_parallel_size) + m.index_bytes) for m in kept))

    def kv_bytes_per_token(self, kv_dtype: str = "bf16") -> float:
        """KV cache of one token, every layer that keeps some counted [bytes]."""
        return self.kv_bytes_per_token_per_gpu(kv_dtype, 1)

    def state_bytes(self, tensor_parallel_size: int = 1) -> float:
        """State of one sequence on each GPU, whatever its length [bytes]; 0 for models of attention only."""
        return sum(m.count * m.state_bytes for m in self.mixer_groups) / tensor_parallel_size

    def kv_bytes(self, context_tokens: int, kv_dtype: str = "bf16", tensor_parallel_size: int = 1) -> float:
        """Memory per GPU of one request with that much context [bytes]: its state, and what its layers keep of it."""
        bits, total = kv_bits(kv_dtype), self.state_bytes(tensor_parallel_size)
        for m in self.mixer_groups:
            if m.kept:
                tokens = min(context_tokens, m.window) if m.window else context_tokens
                total += m.count * (tokens * m.token_bytes(bits, tensor_parallel_size) + context_tokens * m.index_bytes)
        return total

    def read_bytes(self, context_tokens: int, kv_dtype: str = "bf16", tensor_parallel_size: int = 1) -> float:
        """What one decode step of a request with that much context reads on each GPU, and writes of states [bytes]."""
        bits, total = kv_bits(kv_dtype), 2 * self.state_bytes(tensor_parallel_size)
        for m in self.mixer_groups:
            tokens = m.seen(context_tokens)
            total += m.count * (tokens * m.token_bytes(bits, tensor_parallel_size) + context_tokens * m.index_bytes)
        return total

    def flops_per_token(self, context_tokens: float = 0.0, logits: bool = True) -> float:
        """Operations to compute one token that attends to `context_tokens` (a product and a sum are two).

        logits: with the output head, which an engine runs only for the tokens that it samples. The operations on
        states, few beside the projections, are left out.
        """
        weights = self.multiplied_parameters - (0 if logits else self.embedding_parameters)
        products = sum(m.count * m.attention_dim * m.seen(context_tokens) for m in self.mixer_groups)
        return 2.0 * weights + 2.0 * products
