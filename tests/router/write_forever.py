"""Records made-up requests until it is killed: python write_forever.py PATH FIRST ROWS_PER_FLUSH BLOCKS.

Says on stdout, after each flush, how many rows it has written so far. Request k arrives at k s with k + 1 tokens.
"""

import sys

from shadowprice.router.record import FinishedRequest, Recorder


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


def main() -> None:
    path, first, rows, blocks = sys.argv[1], *(int(value) for value in sys.argv[2:])
    recorder = Recorder(path)
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
