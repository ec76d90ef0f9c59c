"""`python -m tests.attack --minutes 60` searches all bounds and prints what it found; exit code 1 for a crossing."""

import argparse
import os
import sys
from math import inf
from statistics import mean

from tests.attack.attacks import ATTACKS
from tests.attack.search import Chunk, chunks


def table(found: dict[str, list[Chunk]]) -> str:
    """A line for each bound: instances tried, worst value over bound, mean bound over value, crossings."""
    heads = f"{'worst value / bound':>22}{'mean bound / value':>21}{'crossings':>11}{'seconds':>10}"
    lines = [f"{'bound':<33}{'instances':>12}{heads}"]
    for name, of in found.items():
        worst = min((chunk.worst for chunk in of), default=inf)
        crossed, seconds = sum(chunk.crossed for chunk in of), sum(chunk.seconds for chunk in of)
        tried, tight = sum(chunk.tried for chunk in of), mean(chunk.tight for chunk in of) if of else inf
        lines.append(f"{name:<33}{tried:>12,}{worst:>22.12f}{tight:>21.4f}{crossed:>11}{seconds:>10.0f}")
    return "\n".join(lines)


def main() -> int:
    """Attack until the time is over; print crossings as they come and the table at the end."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--instances", type=int, default=10**9, help="of each bound, at most")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="bounds whose name holds this")
    asked = parser.parse_args()
    attacks = tuple(attack for attack in ATTACKS if asked.only in attack.__name__)
    found: dict[str, list[Chunk]] = {attack.__name__: [] for attack in attacks}
    for chunk in chunks(attacks, asked.seed, minutes=asked.minutes, instances=asked.instances, jobs=asked.jobs):
        found[chunk.attack].append(chunk)
        if chunk.crossed:
            where = f"seed {asked.seed}, chunk {chunk.number}"
            print(f"CROSSED {chunk.attack}: {chunk.worst!r} ({where})\n  {chunk.instance}\n", flush=True)
    print(table(found))
    return int(any(chunk.crossed for of in found.values() for chunk in of))


if __name__ == "__main__":
    sys.exit(main())
