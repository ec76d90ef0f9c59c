"""Who may ask: the keys of clients."""

import hmac
from collections.abc import Sequence

from shadowprice.router.http.head import Fields

OPEN_PATHS = frozenset(("/health", "/metrics", "/ping"))  # need no key, as in vLLM


class Keys:
    """The keys that clients must show; none: everybody may ask."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __len__(self) -> int:
        return len(self._keys)

    def refusal(self, fields: Fields, target: bytes) -> tuple[int, str] | None:
        """The refusal of a request without a valid key, None if it has one or needs none."""
        if not self._keys or target.partition(b"?")[0].decode("latin-1") in OPEN_PATHS:
            return None
        given = fields.get(b"authorization", b"")
        given = given[7:] if given[:7].lower() == b"bearer " else b""
        valid = False
        for key in self._keys:  # all are compared, so that time tells nothing
            valid |= hmac.compare_digest(key, given)
        return None if valid else (401, "no valid key; expected the header 'Authorization: Bearer KEY'")
