"""Prompt tokens of a request: by a tokenizer, by the number of ids, or by bytes at a ratio learned from usage."""

from typing import Any

from shadowprice.errors import RouterError
from shadowprice.extras import needs
from shadowprice.router.openai.body import PREFIX_BYTES, Ask

PRIOR_BYTES_PER_TOKEN, PRIOR_TOKENS = 4.0, 2000.0
MOST_TOKENS_REMEMBERED = 4e6


class PromptSize:
    """tokenizer: a path to a tokenizer.json, or None. Raises RouterError when it cannot be read."""

    def __init__(self, tokenizer: str | None) -> None:
        self._bytes, self._tokens = PRIOR_BYTES_PER_TOKEN * PRIOR_TOKENS, PRIOR_TOKENS
        self._tokenizer: Any = None if tokenizer is None else _load(tokenizer)

    @property
    def bytes_per_token(self) -> float:
        """Bytes of prompt text, as it stands in the JSON, per token."""
        return self._bytes / self._tokens

    @property
    def block_tokens(self) -> int:
        """Tokens of a block of PREFIX_BYTES."""
        return max(round(PREFIX_BYTES / self.bytes_per_token), 1)

    def tokens(self, ask: Ask, prompt: memoryview) -> int:
        """At least 1. What is embedded in the prompt counts when the worker has told its tokens."""
        if ask.token_ids:
            return ask.token_ids
        if self._tokenizer is not None and not ask.embeds:
            return max(len(self._tokenizer.encode(bytes(prompt).decode("utf-8", "replace")).ids), 1)
        return max(int(ask.text_bytes * self._tokens / self._bytes), 1)

    def learn(self, ask: Ask, prompt_tokens: int) -> None:
        """The worker counted so many tokens in this prompt."""
        if ask.token_ids or ask.embeds or not ask.text_bytes:
            return
        self._bytes += ask.text_bytes
        self._tokens += prompt_tokens
        if self._tokens > MOST_TOKENS_REMEMBERED:
            self._bytes /= 2
            self._tokens /= 2


def _load(path: str) -> Any:
    needs("tokenizer")
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(path)
    except Exception as error:  # the library raises bare Exception
        raise RouterError(f"--tokenizer {path}: {error}; expected a tokenizer.json") from error
