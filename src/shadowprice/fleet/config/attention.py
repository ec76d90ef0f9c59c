"""Attention of every form: which layers are of which kind, and what each keeps."""

from dataclasses import dataclass, replace

from shadowprice.errors import FleetError
from shadowprice.fleet.config.shape import Shape
from shadowprice.fleet.layers import Mixer

FULL, SLIDING = "full_attention", "sliding_attention"
# What files call layers, in our words.
WORDS = {
    "full_attention": FULL, "full": FULL, "attention": FULL, "global": FULL, "global_attention": FULL, "G": FULL,
    "indexed_attention": FULL, "sliding_attention": SLIDING, "chunked_attention": SLIDING, "sliding": SLIDING,
    "local": SLIDING, "local_attention": SLIDING, "L": SLIDING,
    "none": "none", "no_op": "none",
}  # fmt: skip
INDEX_BYTES_OF_SCALE = 4  # vLLM keeps index keys in 8 bits with one 32-bit scale for each token


@dataclass(frozen=True)
class Biases:
    """What the projections of attention carry beside their matrices.

    qkv: biases of the query, key and value projections where the file does not say. gated: a gate of the output, with
    as many parameters as the query projection.
    """

    qkv: bool = False
    gated: bool = False


def head_size(shape: Shape) -> int:
    """Of one query and key head."""
    heads = shape.needed("num_attention_heads")
    hidden = shape.needed("hidden_size")
    given = shape.whole("head_dim", 0, least=0)
    if not given and hidden % heads:
        raise FleetError(
            f"{shape.place('head_dim')} is missing, and hidden_size {hidden} is no multiple of {heads} attention heads"
        )
    return given or hidden // heads


def grouped(shape: Shape, biases: Biases, heads: int, kv_heads: int, head_dim: int, value_dim: int) -> Mixer:
    """A layer of multi-head, grouped-query or multi-query attention, with the weights of two norms."""
    hidden = shape.needed("hidden_size")
    query, key, value = heads * head_dim, kv_heads * head_dim, kv_heads * value_dim
    rank = shape.whole("q_rank", 0, least=0)  # queries by way of so many numbers (Step 3)
    of_query = rank * (hidden + query) if rank else hidden * query
    parameters = of_query + hidden * (key + value) + heads * value_dim * hidden + 2 * hidden
    if shape.flag("attention_bias", biases.qkv):
        parameters += query + key + value
    if biases.gated:
        parameters += hidden * query
    gate = shape.table.get("attention_gate")  # Laguna: one number for each head, or one for each of its numbers
    if gate not in (None, False, True, "per-head", "per-element"):
        raise FleetError(f"{shape.place('attention_gate')} is {gate!r}; accepted: true, false, per-head, per-element")
    if gate:
        parameters += hidden * (query if gate == "per-element" else heads)
    dim = heads * (head_dim + value_dim)
    return Mixer(1, parameters, kv_heads=kv_heads, kv_dim=head_dim + value_dim, attention_dim=dim)


def latent(shape: Shape) -> Mixer:
    """A layer of multi-head latent attention: one vector per token, whatever the number of heads."""
    hidden, heads = shape.needed("hidden_size"), shape.needed("num_attention_heads")
    rank, query_rank = shape.needed("kv_lora_rank"), shape.whole("q_lora_rank", 0, least=0)
    plain, rotary, value = (shape.whole(k, 0, least=0) for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    for name, found in (("qk_nope_head_dim", plain), ("qk_rope_head_dim", rotary), ("v_head_dim", value)):
        if not found:
            shape.needed(name)
    query_dim = heads * (plain + rotary)
    query = query_rank * (hidden + query_dim + 1) if query_rank else hidden * query_dim
    down = hidden * (rank + rotary) + rank
    parameters = query + down + rank * heads * (plain + value) + heads * value * hidden + 2 * hidden
    shape.note(
        "head_dim", "num_key_value_heads"
    )  # that of the rotary part, and of the heads before they are compressed
    mixer = Mixer(1, parameters, kv_dim=rank + rotary, attention_dim=heads * (plain + rotary + value))
    top = shape.whole("index_topk", 0, least=0)
    return replace(mixer, reads=top) if top else mixer


def _with_index(shape: Shape, mixer: Mixer) -> Mixer:
    """The layer with an indexer of its own, which scores every token by a key that it keeps."""
    hidden, rank = shape.needed("hidden_size"), shape.whole("q_lora_rank", 0, least=0)
    heads, dim = shape.needed("index_n_heads"), shape.needed("index_head_dim")
    index = heads * dim * (rank or hidden) + hidden * dim + hidden * heads + 2 * dim
    kept = dim + INDEX_BYTES_OF_SCALE * -(-dim // 128)
    return replace(mixer, parameters=mixer.parameters + index, index_bytes=kept)


def _latent_layers(shape: Shape, each: list[str], size: int) -> list[Mixer | None]:
    """Layers of latent attention; a layer whose indexer_types says "shared" takes an earlier one's choice of tokens."""
    plain = latent(shape)
    own = _with_index(shape, plain) if plain.reads else plain
    words = shape.entries("indexer_types")
    if words and (len(words) < len(each) or not set(map(str, words)) <= {"full", "shared"}):
        raise FleetError(f"indexer_types is {str(words)[:60]}; expected {len(each)} of full, shared")
    if not words and plain.reads and shape.whole("index_topk_freq", 1) > 1:
        raise FleetError(
            f"index_topk_freq is {shape.whole('index_topk_freq', 1)}; expected indexer_types, a word a layer"
        )
    shared = [bool(words) and words[i] == "shared" for i in range(len(each))]
    return [
        _slid(plain if shared[i] else own, kind, size) if kind in (FULL, SLIDING) else None
        for i, kind in enumerate(each)
    ]


def kinds(shape: Shape, pattern: str, words: dict[str, str]) -> list[str]:
    """The kind of each layer: from the file's list or pattern, else from the type's, which is one of

    "" (all full), "all" (all slide), "LLLG" (repeated), "LG*" (repeated, the last of all full), "7" (every 7th full).
    words: kinds beyond attention that the type knows, and what the file calls them.
    """
    count = shape.needed("num_hidden_layers")
    known = WORDS | words
    shape.note("sliding_window_pattern", "_sliding_window_pattern")
    said = shape.entries("layer_types")
    for i, word in enumerate(said):
        if not isinstance(word, str) or word not in known:
            raise FleetError(f"{shape.place('layer_types')}[{i}] is {word!r}; accepted: {', '.join(sorted(known))}")
    if said:
        if len(said) < count:
            raise FleetError(
                f"{shape.place('layer_types')} has {len(said)} entries; expected {count}, one for each layer"
            )
        return [known[word] for word in said[:count]]
    pattern = _pattern(shape, pattern)
    if pattern == "all":
        first = shape.whole("max_window_layers", 0, least=0)  # the first so many layers are full
        return [FULL if i < first else SLIDING for i in range(count)]
    if pattern.isdigit():
        return [FULL if (i + 1) % int(pattern) == 0 else SLIDING for i in range(count)]
    if not pattern:
        return [FULL] * count
    return [known[pattern[i % len(pattern)]] for i in range(count)]


def _pattern(shape: Shape, usual: str) -> str:
    """The pattern in the file (a number or letters), else the type's usual one."""
    said = shape.table.get("sliding_window_pattern", shape.table.get("_sliding_window_pattern"))
    if said is None:
        return usual
    if isinstance(said, str) and said and set(said) <= {"L", "G"}:
        return said
    if isinstance(said, int) and not isinstance(said, bool) and said >= 1:
        return str(said)
    raise FleetError(
        f"{shape.place('sliding_window_pattern')} is {said!r}; expected a whole number >= 1 or letters L and G"
    )


def window(shape: Shape, usual: bool) -> int:
    """Tokens of the sliding window, 0 without one. usual: whether it is used where use_sliding_window does not say."""
    size = shape.whole("sliding_window", shape.whole("attention_chunk_size", 0, least=0), least=0)
    return size if shape.flag("use_sliding_window", usual) else 0


def attention_layers(shape: Shape, biases: Biases, each: list[str], size: int) -> list[Mixer | None]:
    """The mixer of every layer of attention, None for layers of another kind."""
    count = len(each)
    if "kv_lora_rank" in shape:
        return _latent_layers(shape, each, size)
    heads = shape.wholes("num_attention_heads_per_layer", count) if _listed(shape, "num_attention_heads") else None
    heads = heads or [shape.needed("num_attention_heads")] * count
    kv_heads = _kv_heads(shape, heads)
    head_dim = head_size(shape)
    value_dim = shape.whole("v_head_dim", 0, least=0) or head_dim
    found: list[Mixer | None] = []
    for i, kind in enumerate(each):
        if kind not in (FULL, SLIDING):
            found.append(None)
            continue
        own = _own_heads(shape, kind, (heads[i], kv_heads[i], head_dim, value_dim))
        mixer = grouped(shape, biases, *own)
        if kind == FULL and shape.flag("attention_k_eq_v", False):  # the value is the key, without a projection
            mixer = replace(mixer, parameters=mixer.parameters - own[1] * own[3] * shape.needed("hidden_size"))
        found.append(_slid(mixer, kind, size))
    return _shared(shape, found, biases)


def _listed(shape: Shape, key: str) -> bool:
    return shape.table.get(f"{key}_per_layer") is not None


def _kv_heads(shape: Shape, heads: list[int]) -> list[int]:
    """KV heads of every layer."""
    if _listed(shape, "num_key_value_heads"):
        found = shape.wholes("num_key_value_heads_per_layer", len(heads))
    elif isinstance(shape.table.get("num_key_value_heads"), list):
        found = shape.wholes("num_key_value_heads", len(heads))
    else:
        given = shape.whole("num_key_value_heads", 0, least=0)
        found = [given or n for n in heads]
    for i, (kv, n) in enumerate(zip(found, heads, strict=True)):
        if kv > n or not kv:
            raise FleetError(f"layer {i} has {kv} KV heads and {n} attention heads; expected 1 to {n}")
    return found


def _own_heads(shape: Shape, kind: str, heads: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Heads and head sizes of a sliding layer (`swa_...`) or a full one (`global_...`) where they have their own."""
    n, kv, d, v = heads
    if kind == FULL:
        key_dim = shape.whole("global_head_dim", 0, least=0)
        kv_heads = shape.whole("num_global_key_value_heads", 0, least=0)
        return (n, kv_heads or kv, key_dim or d, key_dim or v)
    names = ("num_attention_heads", "num_key_value_heads", "head_dim", "v_head_dim")
    own_n, own_kv, own_d, own_v = (shape.whole(f"swa_{name}", 0, least=0) for name in names)
    return (own_n or n, own_kv or kv, own_d or d, own_v or own_d or v)


def _slid(mixer: Mixer, kind: str, size: int) -> Mixer:
    return replace(mixer, window=size) if kind == SLIDING and size else mixer


def _shared(shape: Shape, found: list[Mixer | None], biases: Biases) -> list[Mixer | None]:
    """Layers that read the keys and values of an earlier one have none of their own: no cache, no projections."""
    borrow: set[int] = set()
    if shape.flag("use_cla", False):
        factor = shape.whole("cla_share_factor", 1)
        borrow = {i for i in range(len(found)) if i % factor}
    last = shape.whole("num_kv_shared_layers", 0, least=0)
    borrow |= set(range(len(found) - last, len(found))) if last else set()
    hidden = shape.needed("hidden_size")
    bias = 1 if shape.flag("attention_bias", biases.qkv) else 0
    return [
        replace(m, kept=False, parameters=m.parameters - m.kv_heads * m.kv_dim * (hidden + bias))
        if m is not None and i in borrow
        else m
        for i, m in enumerate(found)
    ]
