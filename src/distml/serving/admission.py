"""Admission control for both protocols: above a limit, HTTP gets 503 with Retry-After, and gRPC UNAVAILABLE."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distml.protocol import limits


class Overloaded(Exception):
    """The predictor has too much in progress or waiting to answer this request soon."""


class Admission:
    """Counters of the requests in progress and of the bytes of their bodies, for use on one event loop."""

    def __init__(self, max_requests: int = limits.MAX_REQUESTS, max_bytes: int = limits.MAX_BYTES_OF_REQUESTS):
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def admit(self) -> Iterator[Callable[[int], None]]:
        """Admit one request. The yielded function counts bytes of its body; call it before keeping them.

        Raises:
            Overloaded: the request exceeds a limit; the yielded function raises it too.
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
