"""The images of a request: damaged, too large or slow to decode, and their text in JSON."""

import base64
import io
from collections.abc import Callable
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distml.protocol.contract import BadInput
from distml.protocol.images import PixelBudget, file_from_base64, image_of_lists
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


def test_an_image_in_another_format_is_refused_by_its_name() -> None:
    heic = b"\0\0\0\x18ftypheic" + bytes(9)
    files = {kind: image_file("RGB", kind, 40, 30) for kind in ("GIF", "BMP", "WebP", "TIFF")} | {"HEIC": heic}
    for kind, file in files.items():
        with pytest.raises(BadInput) as refused:
            PixelBudget().decode(file)
        assert str(refused.value) == f"the image is a {kind} file; expected JPEG or PNG"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_file_cut_short_is_refused_by_its_format(kind: str) -> None:
    with pytest.raises(BadInput) as refused:
        PixelBudget().decode(image_file("RGB", kind, 40, 30)[:40])
    assert (
        str(refused.value) == f"the image begins as a {kind} file, but cannot be read; it may be cut short or damaged"
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_base64_in_place_of_the_file_itself_is_named(kind: str) -> None:
    file = image_file("RGB", kind, 40, 30)
    sentence = "the image is in base64 here; send the bytes of the file themselves, or in JSON their base64, made once"
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        for start in (b"", b"data:image/png;base64,", b"\n"):
            with pytest.raises(BadInput) as refused:
                PixelBudget().decode(start + encode(file))
            assert str(refused.value) == sentence


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


@settings(max_examples=200, deadline=None)
@given(
    st.binary(min_size=1, max_size=300),
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
    st.sampled_from(["", "data:image/png;base64,", "DATA:;BASE64,", "data:image/jpeg;charset=utf-8;base64,"]),
    st.integers(1, 80),
    st.sampled_from(["", "\n", "\r\n"]),
    st.booleans(),
)
def test_base64_of_every_unambiguous_kind_gives_the_content(
    content: bytes, encode: Callable[[bytes], bytes], prefix: str, width: int, line_end: str, is_padded: bool
) -> None:
    encoded = encode(content).decode() if is_padded else encode(content).decode().rstrip("=")
    lines = [encoded[at : at + width] for at in range(0, len(encoded), width)]
    assert file_from_base64(prefix + "".join(line + line_end for line in lines)) == content


USED = "expected only characters of base64"
FAULTS = {
    "a?b=": f"the base64 of the image file has '?' as character 2; {USED}",
    "aGVs bG8=": f"the base64 of the image file has a space, perhaps a lost + sign, as character 5; {USED}",
    "aGVsbG8\\n": f"the base64 of the image file has '\\\\' as character 8; {USED}",
    "data:image/png;base64,aé==": f"the base64 of the image file has 'é' as character 24; {USED}",
    "\n aGVs?": f"the base64 of the image file has '?' as character 7; {USED}",
    " data:;base64,aGVs?": f"the base64 of the image file has '?' as character 19; {USED}",
    "aGVsb": "the base64 of the image file has 5 characters, one too many or too few",
    "a": "the base64 of the image file has 1 character, one too many or too few",
    "YQ==YQ==": "the base64 of the image file goes on after its padding (=); send each file as its own string",
    "b'aGVsbG8='": "the base64 of the image file is written as Python prints bytes;"
    " send only the text between the quotes",
    "data:image/svg+xml,<svg/>": 'a "data:" URL must have its image in base64, as in "data:image/png;base64,iVBOR..."',
    "https://example.org/cat": "an image file must be sent as its content in base64, not as its name or URL",
    "images/Cat.JPEG": "an image file must be sent as its content in base64, not as its name or URL",
    "": "the image file is empty",
    "\n": "the image file is empty",
    5: "an image file must be a string in base64",
}


@pytest.mark.parametrize("text", FAULTS)
def test_text_that_is_not_base64_is_refused_with_its_fault(text: object) -> None:
    with pytest.raises(BadInput) as refused:
        file_from_base64(text)
    assert str(refused.value) == FAULTS[text]


def unpadded(kind: str) -> str:
    """Return an image file of a kind in base64 without padding."""
    files = (image_file("RGB", kind, width, 30) for width in range(20, 60))
    return next(base64.b64encode(file).decode() for file in files if len(file) % 3 == 0)


def in_lines(text: str, width: int) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("width", [2**20, 76])
def test_a_second_file_on_a_later_line_is_refused(width: int, kind: str, line_end: str) -> None:
    first, second = in_lines(unpadded("PNG"), width), unpadded(kind)
    sentence = "the base64 of the image file goes on with another file; send each file as its own string"
    for start, alphabet in (("", {}), ("data:;base64,\n", {}), ("\n ", str.maketrans("+/", "-_"))):
        with pytest.raises(BadInput) as refused:
            file_from_base64(start + (first + line_end + second).translate(alphabet))
        assert str(refused.value) == sentence


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_thumbnail_that_begins_a_line_is_part_of_its_file(line_end: str) -> None:
    thumbnail = base64.b64decode(unpadded("JPEG"))
    content = thumbnail[:57].ljust(114, b" ") + thumbnail + b" "
    assert file_from_base64(in_lines(base64.b64encode(content).decode(), 76).replace("\n", line_end)) == content


def test_a_data_url_may_have_a_line_break_before_its_file() -> None:
    file = unpadded("PNG")
    assert file_from_base64(f"data:image/png;base64,\n{file}\n") == base64.b64decode(file)


SHAPE = "an image given as pixels must have the shape [28, 28], [28, 28, 1] or [784]; found "
ANY_FILE = "; image files may have any size and colour"
WRONG_LISTS: dict[str, tuple[list, str]] = {
    "too few": ([[0] * 28] * 27, f"{SHAPE}[27, 28]{ANY_FILE}"),
    "coloured": ([[[0, 0, 0]] * 28] * 28, f"{SHAPE}[28, 28, 3]{ANY_FILE}"),
    "two images": ([[[0] * 28] * 28] * 2, f"{SHAPE}[2, 28, 28]{ANY_FILE}"),
    "empty": ([[]], f"{SHAPE}[1, 0]{ANY_FILE}"),
    "deep": ([[[[[[[[0]]]]]]]], f"{SHAPE}[1, 1, 1, 1, 1, 1, 1, 1]{ANY_FILE}"),
    "deeper": (
        reduce(lambda lists, _: [lists], range(999), [0]),
        f"{SHAPE}[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...{ANY_FILE}",
    ),
    "ragged": (
        [[0] * 28] * 27 + [[0] * 29],
        "the lists of an image differ in length, such as 28 and 29; expected equal lengths",
    ),
    "mixed": ([[0] * 28] * 27 + [0], "the lists of an image mix numbers and lists; expected a number for each pixel"),
}


@pytest.mark.parametrize("case", WRONG_LISTS)
def test_lists_that_are_not_one_image_are_refused_with_their_fault(case: str) -> None:
    lists, sentence = WRONG_LISTS[case]
    with pytest.raises(BadInput) as refused:
        image_of_lists(lists)
    assert str(refused.value) == sentence
