"""What the router reads from bodies: the size of a prompt, whether the answer streams, the tokens that it took."""

import hashlib
import re

import msgspec
import xxhash

SIZED = frozenset(
    f"/v1/{name}"
    for name in ("chat/completions", "completions", "responses", "messages", "embeddings", "rerank", "score")
) | {"/generate", "/inference/v1/generate", "/pooling", "/rerank", "/score", "/classify"}
WITHOUT_OUTPUT = frozenset(("/v1/embeddings", "/v1/rerank", "/v1/score", "/pooling", "/rerank", "/score", "/classify"))
PREFIX_BYTES = 2048  # of prompt text in one block, about 512 tokens
MOST_BLOCKS = 64
MOST_PRIORITY = UNLIMITED = 2**31 - 1
LONGEST_S = 1e9  # a deadline further off is none
LEAST_EMBEDDING = 256  # bytes of a prompt that can hold some
EMBEDDED = b";base64,"  # of an image or a sound, up to the string's end: no text, and not counted as such
PROMPT_TOKENS = re.compile(rb'"(?:prompt|input)_tokens": ?(\d{1,12})')
COMPLETION_TOKENS = re.compile(rb'"(?:completion|output)_tokens": ?(\d{1,12})')
NULL = b"null"[0]
ANY_TOKENS = b'_tokens"'  # some engines write "usage": null into every event
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens")


class _Body(msgspec.Struct):
    """The fields that matter; a value of another type than usual is the worker's to refuse."""

    stream: object = False
    priority: object = None
    deadline_s: object = None
    user: object = None
    max_tokens: object = None
    max_completion_tokens: object = None
    max_output_tokens: object = None
    sampling_params: object = None
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()
    input_ids: msgspec.Raw = msgspec.Raw()
    token_ids: msgspec.Raw = msgspec.Raw()
    query: msgspec.Raw = msgspec.Raw()
    queries: msgspec.Raw = msgspec.Raw()
    text_1: msgspec.Raw = msgspec.Raw()
    data_1: msgspec.Raw = msgspec.Raw()
    documents: msgspec.Raw = msgspec.Raw()
    items: msgspec.Raw = msgspec.Raw()
    text_2: msgspec.Raw = msgspec.Raw()
    data_2: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Body).decode


class Ask(msgspec.Struct, frozen=True, gc=False):
    """text_bytes: of the prompt as it stands in the body, without what is embedded in it. token_ids: 0 if not ids.

    most_tokens: that the answer may have, UNLIMITED where that is not said. deadline_s: from its arrival, 0 for none.
    """

    text_bytes: int
    embeds: bool
    token_ids: int
    most_tokens: int
    stream: bool
    priority: int
    user: str
    deadline_s: float = 0.0


NOTHING = Ask(0, False, 0, UNLIMITED, False, 0, "")


def read_body(body: bytes) -> tuple[Ask, memoryview]:
    """What is asked for, and the prompt as it stands in the body, its parts one after another.

    A body that is not a JSON object counts as all prompt, and is the worker's to refuse.
    """
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Ask(len(body), False, 0, UNLIMITED, False, 0, ""), memoryview(body)
    prompt, token_ids = _prompt(found)
    priority = min(max(found.priority, -MOST_PRIORITY), MOST_PRIORITY) if isinstance(found.priority, int) else 0
    user = found.user if isinstance(found.user, str) else ""
    embedded = _embedded_bytes(body) if len(prompt) > LEAST_EMBEDDING else 0
    text_bytes = max(len(prompt) - embedded, 0)
    due_s = 0.0 if found.deadline_s is None else seconds_of(found.deadline_s)
    most_tokens = _most_tokens(found)
    return Ask(text_bytes, embedded > 0, token_ids, most_tokens, found.stream is True, priority, user, due_s), prompt


def seconds_of(said: object) -> float:
    """A deadline as a client says it, in a header or a body: seconds above 0; 0, for none, where it says no such."""
    try:
        seconds = float(said) if isinstance(said, int | float | bytes) and not isinstance(said, bool) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds <= LONGEST_S else 0.0


def _prompt(found: _Body) -> tuple[memoryview, int]:
    """All parts of the prompt, and how many token ids they consist of, 0 if they are text."""
    more = found.system or found.instructions or found.query or found.queries or found.text_1 or found.data_1
    if not (more or found.documents or found.items or found.text_2 or found.data_2):
        asked = found.prompt or found.messages or found.input or found.text or found.input_ids or found.token_ids
        alone = memoryview(asked)
        if alone and alone[0] != NULL:  # what most are: all of the below takes five times as long
            return alone, 0 if found.messages and not found.prompt else _ids(alone)
    parts = _parts(found)
    ids = [_ids(part) for part in parts]
    return memoryview(b"".join(parts)), sum(ids) if all(ids) else 0


def _parts(found: _Body) -> list[memoryview]:
    """What is said first to all, what is asked, and the two sides of a comparison: those of them that are there."""
    asked = (found.prompt, found.messages, found.input, found.text, found.input_ids, found.token_ids)
    left = (found.query, found.queries, found.text_1, found.data_1)
    right = (found.documents, found.items, found.text_2, found.data_2)
    kinds = ((found.system, found.instructions), asked, left, right)
    return [part for kind in kinds if (part := _first(kind))]


def _first(fields: tuple[msgspec.Raw, ...]) -> memoryview | None:
    """The first that is there and not null."""
    return next((part for field in fields if (part := memoryview(field)) and bytes(part[:5]) != b"null"), None)


def _ids(prompt: memoryview) -> int:
    """How many token ids the prompt consists of, 0 if it is text."""
    head = bytes(prompt[:16])
    return bytes(prompt).count(b",") + 1 if head.startswith(b"[") and head[1:].lstrip(b" [\n")[:1].isdigit() else 0


def _most_tokens(found: _Body) -> int:
    """The least of the limits, which /generate is given within its sampling parameters."""
    most = UNLIMITED
    limits: tuple[object, ...] = (found.max_completion_tokens, found.max_tokens, found.max_output_tokens)
    if isinstance(found.sampling_params, dict):
        limits += tuple(found.sampling_params.get(name) for name in LIMITS)
    for limit in limits:
        if type(limit) is int and 0 < limit < most:
            most = limit
    return most


def _embedded_bytes(body: bytes) -> int:
    total, start = 0, _find_embedded(body, 0)
    while start >= 0:
        end = body.find(b'"', start)
        total += end - start
        start = _find_embedded(body, end)
    return total


def _find_embedded(body: bytes, start: int) -> int:
    """Where EMBEDDED stands next, -1 if nowhere: by its first byte while that is rare, which is ten times as fast."""
    at = start - 1
    for _ in range(len(body) >> 9):
        at = body.find(b";", at + 1)
        if at < 0 or body.startswith(EMBEDDED, at):
            return at
    return body.find(EMBEDDED, at + 1)


def prefix_blocks(prompt: memoryview) -> tuple[int, ...]:
    """Hashes of the leading blocks of PREFIX_BYTES; equal hashes mean equal prompts up to there."""
    blocks = []
    chain = 0
    for start in range(0, min(len(prompt), MOST_BLOCKS * PREFIX_BYTES) - PREFIX_BYTES + 1, PREFIX_BYTES):
        chain = xxhash.xxh3_64_intdigest(prompt[start : start + PREFIX_BYTES], chain)
        blocks.append(chain >> 1)  # fits a signed 64-bit integer
    return tuple(blocks)


def key_of(text: bytes) -> int:
    """A non-negative 63-bit hash of a session's or tenant's name."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def usage_of(text: bytes) -> tuple[int, int] | None:
    """Prompt and completion tokens of the last usage object in the text; 0 where none names them.

    Where the last names only what was generated, as in Anthropic's streams, the prompt is that of one before.
    """
    prompt = completion = None
    at = len(text) if ANY_TOKENS in text else 0
    while prompt is None:
        end, at = at, text.rfind(b'"usage"', 0, at)
        if at < 0:
            break
        prompt = PROMPT_TOKENS.search(text, at, end)
        completion = completion or COMPLETION_TOKENS.search(text, at, end)
    if prompt is None and completion is None:
        return None
    return int(prompt[1]) if prompt else 0, int(completion[1]) if completion else 0


def usage_of_whole(text: bytes) -> tuple[int, int] | None:
    """Prompt and completion tokens of a plain answer: of its usage object, or of all answers of SGLang's /generate."""
    usage = usage_of(text)
    at = text.find(b'"meta_info"') if usage is None else -1
    if at < 0:
        return usage
    return sum(map(int, PROMPT_TOKENS.findall(text, at))), sum(map(int, COMPLETION_TOKENS.findall(text, at)))
