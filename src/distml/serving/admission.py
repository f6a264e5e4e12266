"""Admission control over both protocols: above the limits, requests get 503 with Retry-After."""

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
        """Let one request in; what is yielded counts bytes of its body, before they are kept.

        Raises:
            Overloaded: there is no room for it, or for so many bytes, now.
        """
        if self._requests >= self._max_requests:
            raise Overloaded
        counted = 0

        def count_bytes(length: int) -> None:
            nonlocal counted
            if self._bytes + length > self._max_bytes:
                raise Overloaded
            self._bytes += length
            counted += length

        self._requests += 1
        try:
            yield count_bytes
        finally:
            self._requests -= 1
            self._bytes -= counted
