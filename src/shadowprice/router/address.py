"""Where a worker listens, read from its URL."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from shadowprice.errors import RouterError


@dataclass(frozen=True)
class Address:
    """Where a worker listens. path: what stands before every target, without a final slash. rank: of @rank, or None."""

    tls: bool
    host: str
    port: int
    path: str
    rank: int | None

    @property
    def url(self) -> str:
        """The URL without its rank."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def worker_address(url: str) -> Address:
    """Read http://host:port or http://host:port@rank. Raises RouterError for anything else."""
    bare, at, rank = url.rpartition("@")
    if not at:
        bare, rank = url, ""
    accepted = "http://host:port or https://host:port, perhaps with @rank"
    if at and not rank.isdecimal():
        raise RouterError(f"worker URL {url!r}: what follows @ is {rank!r}; expected a rank; accepted: {accepted}")
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise RouterError(f"worker URL {url!r}: a space or control character; expected {accepted}")
    try:
        parts = urlsplit(bare)
        port = parts.port
    except ValueError as error:
        raise RouterError(f"worker URL {url!r}: {error}; expected {accepted}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise RouterError(f"worker URL {url!r}: expected {accepted}")
    if parts.path.rstrip("/").endswith("/v1"):
        raise RouterError(f"worker URL {url!r}: clients' paths begin with /v1 already; expected it without")
    tls = parts.scheme == "https"
    return Address(tls, parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"), int(rank) if at else None)
