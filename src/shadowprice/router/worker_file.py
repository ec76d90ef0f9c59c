"""A file of worker URLs, one per line, that is followed while the router runs."""

from pathlib import Path

from shadowprice.errors import RouterError
from shadowprice.router.settings import worker_address


def read_worker_file(path: Path) -> list[str]:
    """The URLs; empty lines and those that begin with # are left out. Raises RouterError, naming the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RouterError(f"--worker-file {path}: {error}; expected a text file with a worker URL per line") from error
    urls = []
    for number, line in enumerate(lines, 1):
        url = line.strip()
        if url and not url.startswith("#"):
            try:
                worker_address(url)
            except RouterError as error:
                raise RouterError(f"{path}:{number}: {error}") from error
            urls.append(url)
    if len(set(urls)) < len(urls):
        raise RouterError(f"{path}: a URL stands there twice; expected each once")
    return urls
