"""Bodies that are not JSON: the sentence names what the client sent, or where the fault is."""

import gzip
import json

import pytest

from distml.model.image_decoding import png
from distml.protocol import json_body
from distml.protocol.contract import BadInput
from support.images import image_file
from support.predictor_requests import IMAGES

IMAGE = 'the body is an image file; send it in base64 within JSON, as in V1\'s {"instances": [{"b64": "..."}]}'
FORM = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + png(IMAGES[0]) + b"\r\n--x--\r\n"
NO_UTF_8 = "the body is not JSON in UTF-8"
AFTER = "the body is not valid JSON: unexpected content after document: line 1 column 3 (char 2); before binary data,"
AFTER += " the header Inference-Header-Content-Length must give the length of the JSON"
LINE = "the body is not valid JSON: unexpected control character in string: line 1 column 3 (char 2);"
LINE += r" a line break within a string must be written as \n; base64 -w0 makes none"
CONTROL = "the body is not valid JSON: unexpected control character in string: line 1 column 3 (char 2)"
BODIES = {
    "PNG": (png(IMAGES[0]), IMAGE),
    "PNG without line breaks": (png(IMAGES[0]).replace(b"\r", b"").replace(b"\n", b""), IMAGE),
    "JPEG": (image_file("RGB", "JPEG", 40, 30), IMAGE),
    "gzip": (gzip.compress(b"{}"), 'the body is compressed with gzip; name it in the header, "Content-Encoding: gzip"'),
    "form": (FORM, "the body is a form; send JSON with the image file in base64"),
    "UTF-16": (json.dumps({}).encode("utf-16"), NO_UTF_8),
    "Latin-1": ('{"key": "é"}'.encode("latin-1"), NO_UTF_8),
    "binary data": (b"{}\x51\0\0\0" + png(IMAGES[0]), AFTER),
    "binary data that is UTF-8": (b"{}" + bytes(784), AFTER),
    "a long document before other bytes": (b"[" + b"0," * 2**16 + b"0]\xff", NO_UTF_8),
    "line break": (b'["\nYQ=="]', LINE),
    "line break of Windows": (b'["\r\nYQ=="]', LINE),
    "tab": (b'["\t"]', CONTROL),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_not_json_is_refused_by_what_it_is(case: str) -> None:
    body, sentence = BODIES[case]
    for content in (body, bytearray(body)):
        with pytest.raises(BadInput) as refused:
            json_body.read(content)
        assert str(refused.value) == sentence
