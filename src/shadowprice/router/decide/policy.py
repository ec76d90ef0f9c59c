"""The routing policy that the settings name."""

from shadowprice.router.settings import Settings
from shadowprice.routing.policies import NamedPolicy, make


def make_policy(name: str, settings: Settings) -> NamedPolicy:
    """The routing policy of that name, with the parameters that are set."""
    return make(name, prefill_kv_tokens=settings.prefill_kv_tokens, most_passes=settings.most_passes)
