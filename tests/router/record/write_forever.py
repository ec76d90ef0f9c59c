"""Records made-up requests until it is killed: python write_forever.py PATH FIRST ROWS_PER_FLUSH BLOCKS [ROOM].

Says on stdout, after each flush, how many rows it has written so far. Request k arrives at k s with k + 1 tokens.
With ROOM, the kernel kills it in the write that would make the journal more than so many bytes longer.
"""

import resource
import signal
import sys
from pathlib import Path

from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.recorder import Recorder


def request(k: int, blocks: int) -> FinishedRequest:
    return FinishedRequest(
        arrival_s=1.8e9 + k,
        prompt_tokens=k + 1,
        output_tokens=7,
        session=k % 10,
        tenant=None,
        priority=None,
        prefix=tuple(range(k, k + blocks)),
        prefix_block_tokens=64,
        worker="http://127.0.0.1:8001",
        queue_s=0.25,
        ttft_s=0.5 if k % 2 else None,
        e2e_s=1.5,
        status=200,
        streamed=bool(k % 2),
        stop="finished",
    )


def die_beyond(journal: Path, room: int) -> None:
    """The write that finds no more room is cut short there, and the next one is the end of this process."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size + room, resource.RLIM_INFINITY))


def main() -> None:
    path, first, rows, blocks, *room = sys.argv[1], *(int(value) for value in sys.argv[2:])
    recorder = Recorder(path)
    if room:
        die_beyond(recorder.journal, room[0])
    print("ready", flush=True)
    k = first
    while True:
        for _ in range(rows):
            recorder.add(request(k, blocks))
            k += 1
        recorder.flush()
        print(k, flush=True)


if __name__ == "__main__":
    main()
