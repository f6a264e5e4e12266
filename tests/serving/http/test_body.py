"""Compressed bodies, in any split and with any damage."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distml.protocol.contract import BadInput
from distml.serving.http.body import Body
from distml.serving.http.refusals import Refusal

COMPRESSIONS: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}
CODINGS = st.sampled_from(sorted(COMPRESSIONS))
# Contents that inflate to less than a piece of the inflater, to exactly one or two, and to more.
CONTENTS = st.binary(max_size=300) | st.integers(-1, 1).flatmap(
    lambda more: st.sampled_from([2**16, 2**17, 2**18]).map(lambda length: b"[" * (length + more))
)
CUTS = st.lists(st.floats(0, 1), max_size=6)


def read(parts: list[bytes], coding: bytes) -> bytes:
    """Return what a body that arrives in `parts` is read as."""
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": True} for part in parts
    ]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def whole() -> bytes:
        return bytes(await Body(receive).read(lambda length: None, coding))

    return asyncio.run(whole())


def split(content: bytes, cuts: list[float]) -> list[bytes]:
    """Split `content` at fractions of its length."""
    places = sorted(round(cut * len(content)) for cut in cuts)
    return [content[start:end] for start, end in zip([0, *places], [*places, len(content)], strict=True)]


@settings(max_examples=100, deadline=None)
@given(CONTENTS, CODINGS, CUTS)
def test_any_split_of_a_compressed_body_inflates_to_the_same(content: bytes, coding: bytes, cuts: list[float]) -> None:
    assert read(split(COMPRESSIONS[coding](content), cuts), coding) == content


@settings(max_examples=50, deadline=None)
@given(st.lists(CONTENTS, min_size=1, max_size=4), CUTS)
def test_any_split_of_several_gzip_members_inflates_to_all_of_them(contents: list[bytes], cuts: list[float]) -> None:
    assert read(split(b"".join(map(gzip.compress, contents)), cuts), b"gzip") == b"".join(contents)


@settings(max_examples=50, deadline=None)
@given(CONTENTS, CODINGS, CUTS, st.floats(0, 1, exclude_max=True))
def test_a_compressed_body_that_is_cut_anywhere_is_refused(
    content: bytes, coding: bytes, cuts: list[float], end: float
) -> None:
    compressed = COMPRESSIONS[coding](content)
    with pytest.raises(BadInput, match="ends before its"):
        read(split(compressed[: int(end * len(compressed))], cuts), coding)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), CODINGS | st.binary(max_size=9), CUTS)
def test_any_body_under_any_coding_is_read_or_refused(content: bytes, coding: bytes, cuts: list[float]) -> None:
    try:
        found = read(split(content, cuts), coding)
    except (BadInput, Refusal) as refusal:
        assert str(refusal).isprintable() and len(str(refusal)) < 200
    else:
        assert found == content or coding in COMPRESSIONS
