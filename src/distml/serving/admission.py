"""How much is worked on at once, over both protocols; beyond it, whoever comes is asked to come again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distml.protocol import limits


class Overloaded(Exception):
    """More is being worked on, or waits, than can be answered soon."""


class Admission:
    """Counts the requests, and the bytes of their bodies that have come, until the answer. For one event loop."""

    def __init__(self, max_requests: int = limits.MAX_REQUESTS, max_bytes: int = limits.MAX_BYTES_OF_REQUESTS):
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def admit(self) -> Iterator[Callable[[int], None]]:
        """Let one request in; what is yielded must be told of bytes of its body before they are kept.

        Raises:
            Overloaded: there is no room for it, or for so many bytes, now.
        """
        if self._requests >= self._max_requests:
            raise Overloaded
        kept = 0

        def take(length: int) -> None:
            nonlocal kept
            if self._bytes + length > self._max_bytes:
                raise Overloaded
            self._bytes += length
            kept += length

        self._requests += 1
        try:
            yield take
        finally:
            self._requests -= 1
            self._bytes -= kept
