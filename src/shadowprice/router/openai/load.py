"""What a request brings to the worker that gets it, and what it is told by."""

from shadowprice.router.http.request import Request
from shadowprice.router.openai.body import NOTHING, Ask, key_of, prefix_blocks, read_body, seconds_of
from shadowprice.router.openai.prompt_size import PromptSize


class Load:
    """ask: what its body says. session, tenant: hashes of their names, -1 without one. prefix: hashes of its blocks.

    prompt_tokens: first as estimated, in the end as the worker counted them. hashed_by: what consistent hashing places
    it by: its session, or a short prompt; -1: its prefix. deadline_s: from its arrival, 0 for none.
    """

    __slots__ = ("ask", "deadline_s", "hashed_by", "prefix", "prompt_tokens", "session", "tenant")

    def __init__(self) -> None:
        self.ask: Ask = NOTHING
        self.prompt_tokens = 0
        self.deadline_s = 0.0
        self.session = self.tenant = self.hashed_by = -1
        self.prefix: tuple[int, ...] = ()


NONE = Load()  # of what computes nothing


def load_of(request: Request, size: PromptSize, *, tenants_by_key: bool, blocks: bool, hashes: bool) -> Load:
    """How much is asked for, and by whom. blocks, hashes: is the prompt needed in blocks, or as one hash."""
    load, fields = Load(), request.head.fields
    load.ask, prompt = read_body(request.body or b"")
    load.prompt_tokens = size.tokens(load.ask, prompt)
    session, tenant = fields.get(b"x-session-id"), fields.get(b"x-tenant-id")
    if not tenant and tenants_by_key:
        tenant = fields.get(b"authorization")
    user = load.ask.user.encode()
    if session or user:
        load.session = key_of(session or user)
    if tenant or user:
        load.tenant = key_of(tenant or user)
    due = fields.get(b"x-deadline-s")
    load.deadline_s = seconds_of(due) if due else load.ask.deadline_s
    if blocks:
        load.prefix = prefix_blocks(prompt)
    load.hashed_by = load.session
    if hashes and load.session < 0 and not load.prefix:
        load.hashed_by = key_of(bytes(prompt))
    return load
