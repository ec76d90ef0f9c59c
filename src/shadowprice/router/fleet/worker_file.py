"""A file of worker URLs, one per line, that is followed while the router runs."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Protocol

from shadowprice.errors import RouterError
from shadowprice.router.address import worker_address


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


class Roster(Protocol):
    """Whose workers they are."""

    async def add_worker(self, url: str) -> list[str]:
        """Names of the workers (ranks) behind the URL, now served; raises RouterError."""
        ...

    async def remove_worker(self, name: str, *, drain: bool) -> None:
        """drain: let its streams finish first; raises RouterError."""
        ...


class WorkerFile:
    """The workers that a file asks for, kept served; those that came otherwise are let be."""

    def __init__(self, path: Path, roster: Roster) -> None:
        self.path = path
        self.roster = roster
        self._served: dict[str, list[str]] = {}  # names of the workers, by URL

    async def apply(self) -> None:
        """Add what the file asks for, remove what it asks for no more. Raises RouterError, once the rest is done."""
        urls = read_worker_file(self.path)
        for url in [url for url in self._served if url not in urls]:
            for name in self._served.pop(url):
                with contextlib.suppress(RouterError):  # removed by hand meanwhile
                    await self.roster.remove_worker(name, drain=True)
        problems = []
        for url in [url for url in urls if url not in self._served]:
            try:
                self._served[url] = await self.roster.add_worker(url)
            except RouterError as error:
                problems.append(str(error))
        if problems:
            raise RouterError("; ".join(problems))

    async def follow(self) -> None:
        """Apply it again whenever it changes, and until all of it could be; what could not is said, once."""
        seen, said = _stamp(self.path), ""
        while True:
            await asyncio.sleep(1.0)
            stamp = _stamp(self.path)
            if stamp == seen and not said:
                continue
            seen, problem = stamp, ""
            try:
                await self.apply()
            except RouterError as error:
                problem = str(error)
            if problem not in ("", said):
                print(f"warning: {problem}; the rest is as it says", file=sys.stderr, flush=True)
            said = problem


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size
