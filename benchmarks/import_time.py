"""How long `import shadowprice` takes, beyond the interpreter's own start: the median of many fresh processes.

    python benchmarks/import_time.py [--check] [--starts 15]

--check: exit code 1 above the target.
"""

import argparse
import statistics
import subprocess
import sys
import time

from promises import conclude, under

TARGET_MS = 50


def start_ms(code: str) -> float:
    """Milliseconds of wall clock from start to end of an interpreter that runs this."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1000 * (time.perf_counter() - begin)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit code 1 above the target")
    parser.add_argument("--starts", type=int, default=15, help="fresh processes (15)")
    args = parser.parse_args()
    pairs = [(start_ms("pass"), start_ms("import shadowprice")) for _ in range(args.starts)]
    import_ms = statistics.median(after - before for before, after in pairs)
    missed = conclude([under("import shadowprice", import_ms, TARGET_MS, "ms")])
    return missed if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
