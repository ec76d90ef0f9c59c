"""How much more workers may be given: caps on requests and on KV tokens, per worker and in all."""

from shadowprice.router.exchange import Exchange
from shadowprice.router.fleet.fleet import Fleet
from shadowprice.router.fleet.worker import PROBING
from shadowprice.router.settings import Settings

UNBOUNDED = 1 << 40


class Caps:
    """Of one fleet; lists have an entry per worker."""

    def __init__(self, settings: Settings, fleet: Fleet) -> None:
        self.settings, self.fleet = settings, fleet

    def budget(self, in_flight: int) -> int:
        """How many more may be in flight in all, of all processes; and what the table of them holds.

        in_flight: of this one.
        """
        flights, most = self.fleet.flights, self.settings.max_concurrent_requests
        room = flights.capacity - flights.of_this_process
        if most is None:
            return room
        here = in_flight if self.settings.processes == 1 else flights.of_all_processes
        return min(room, most - here)

    def rooms(self, opened: list[bool], count: list[int], free: list[int], smallest: int) -> list[int]:
        """How many more each worker may be given.

        Of KV an empty one always has enough: it refuses what it cannot hold.
        """
        rooms = []
        most = self.settings.max_num_seqs or UNBOUNDED
        for worker, is_open, requests, kv in zip(self.fleet.workers, opened, count, free, strict=True):
            room = min(most - requests, kv // smallest if requests else max(kv // smallest, 1))
            if worker.state == PROBING:
                room = min(room, 1 - worker.in_flight)
            rooms.append(room if is_open and room > 0 else 0)
        return rooms

    def free_kv(self, kv_tokens: list[int], waiting_tokens: list[int]) -> list[int]:
        """KV tokens that each worker may still be given."""
        cap = self.settings.max_kv_tokens
        caps = [
            cap or UNBOUNDED if cap is not None else w.reported.kv_capacity_tokens or UNBOUNDED
            for w in self.fleet.workers
        ]
        return [most - held - to_come for most, held, to_come in zip(caps, kv_tokens, waiting_tokens, strict=True)]

    def not_starving(
        self, offered: list[Exchange], rooms: list[int], count: list[int], free: list[int]
    ) -> list[Exchange]:
        """What is to be placed now: all, or only the one that small ones would keep from ever finding enough KV memory.

        Once it was passed over most_passes times it goes where it fits; while that is nowhere, the worker with the most
        free memory takes nobody else (its place in `rooms` becomes 0).
        """
        for exchange in offered:
            if exchange.passes >= self.settings.most_passes:
                able = [g for g, room in enumerate(rooms) if room > 0]
                fits = [g for g in able if exchange.load.prompt_tokens <= free[g] or count[g] == 0]
                if fits and len(fits) < len(able):
                    rooms[:] = [room if g in fits else 0 for g, room in enumerate(rooms)]
                    return [exchange]
                if able and not fits:
                    rooms[max(able, key=free.__getitem__)] = 0
                    return offered
        return offered
