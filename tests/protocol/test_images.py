"""The image files of a request: damaged, too large, or slow to decode."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distml.protocol.contract import BadInput
from distml.protocol.images import PixelBudget
from support.images import image_file, png_file
from support.request_strategies import check

IMAGE_FILES = [image_file("RGB", "JPEG", 40, 30), image_file("RGBA", "PNG", 30, 40), image_file("P", "PNG", 28, 28)]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(IMAGE_FILES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6), st.data()
)
def test_any_damaged_image_file_gives_pixels_or_one_sentence(
    file: bytes, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    content = bytearray(file)
    for at, value in changes:
        content[at % len(content)] = value
    end = data.draw(st.integers(0, len(content)))
    check(lambda: PixelBudget().decode(bytes(content[:end]))[None])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [12_000, 16_000])
def test_a_too_large_image_is_refused_without_a_warning(side: int) -> None:
    with pytest.raises(BadInput, match="the image is too large"):
        PixelBudget().decode(png_file((side, side), 8, 0, 0, (b"IDAT", b"")))


def test_a_file_that_is_slow_to_decode_is_bad_input() -> None:
    scans = image_file("RGB", "JPEG", 40, 30)[:-2] + b"\xff\xda" * 64
    with pytest.raises(BadInput, match="the image has more than 64 scans; save it as a JPEG with fewer"):
        PixelBudget().decode(scans)


def test_all_files_of_a_request_share_one_pixel_limit() -> None:
    file = io.BytesIO()
    Image.new("1", (4096, 4096)).save(file, "PNG")
    budget = PixelBudget()
    for _ in range(2):
        assert budget.decode(file.getvalue()).shape == (28, 28, 1)
    with pytest.raises(BadInput, match="the image is too large"):
        budget.decode(file.getvalue())
