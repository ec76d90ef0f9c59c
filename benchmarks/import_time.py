"""How long `import shadowprice` takes, beyond the interpreter's own start: the median of many fresh processes.

    python benchmarks/import_time.py [--check]

--check: exit code 1 above the target.
"""

import statistics
import subprocess
import sys
import time

STARTS = 15
TARGET_MS = 50


def start_ms(code: str) -> float:
    """Milliseconds of wall clock from start to end of an interpreter that runs this."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1000 * (time.perf_counter() - begin)


def main() -> int:
    pairs = [(start_ms("pass"), start_ms("import shadowprice")) for _ in range(STARTS)]
    import_ms = statistics.median(after - before for before, after in pairs)
    holds = import_ms < TARGET_MS
    print(f"import shadowprice: {import_ms:.1f} ms (target: under {TARGET_MS} ms): {'holds' if holds else 'MISSED'}")
    return int("--check" in sys.argv[1:] and not holds)


if __name__ == "__main__":
    sys.exit(main())
