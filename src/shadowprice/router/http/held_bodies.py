"""How many bytes of bodies the router holds, of requests whose answers have not begun."""


class HeldBodies:
    """most: bytes that may be held. held: bytes that are."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, size: int) -> bool:
        """Hold so many more, if they may be."""
        if self.held + size > self.most:
            return False
        self.held += size
        return True

    def let_go(self, size: int) -> None:
        """So many are held no more."""
        self.held -= size
