"""A worker in a process of its own, to be killed: `python -m tests.router.mixed_worker PORT`."""

import asyncio
import sys

from tests.router.scripted_worker import Call, ScriptedWorker, completion, streams


async def answer(call: Call) -> None:
    if b"stream" in call.body:
        await streams(200, gap_s=0.01)(call)
    else:
        await asyncio.sleep(0.02)
        await call.send(completion())


async def main(port: int) -> None:
    worker = ScriptedWorker(answer)
    worker.port = port
    await worker.start()
    print("listens", flush=True)
    await asyncio.sleep(60)  # and no longer, if nobody kills it


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
