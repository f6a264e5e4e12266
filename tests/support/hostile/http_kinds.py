"""Kinds of hostile HTTP requests whose head, framing or pace is wrong or odd; each function returns the answers."""

import json
from random import Random

from support.hostile.client import Answer, Client, Malformed
from support.hostile.documents import PIXELS, damaged
from support.predictor_process import INFER, PREDICT, READY
from support.predictor_requests import IMAGES, v2_input

BODY = json.dumps({"instances": PIXELS[:1]}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
CLOSE = b"Connection: close\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
PATHS = (
    *("/", "/v1", "/v1/models", "/v1/models/flower-sample", "/v2", "/v2/health/live", "/v2/models/flower-sample"),
    *(PREDICT, INFER, READY, "/v2/models/flower-sample/versions/1/infer", "/v1/models/flower-sample/metadata"),
    *("/v1/models/flower-sample/versions/1", "/v1/models/flower-sample/labels/stable:classify", "/openapi.json"),
    *("/v2/repository/index", "/v2/repository/models/flower-sample/unload", "/v2/repository/models/flower-sample/load"),
)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "SEARCH", "LOCK"]
ODD_PATH_PARTS = (
    *(b"%00", b"%0A", b"%0d%0a", b"%2e%2e/", b"../", b"./", b"//", b"%2F", b"%25", b"%", b"%zz", b"%ff", b"%c3%a4"),
    *("ä".encode(), b"\xff", b"?", b"?version=7", b"?a=%00&a", b"#a", b";a=b", b":", b":predict", b"@", b"*", b"\\"),
    *(b"a" * 300, b"a" * 60_000, b"{model_name}", b"%E2%80%AE", b"$(id)", b"'", b'"', b"<script>", b"%F0%9F%8C%B8"),
)
ODD_HEADERS = (
    *(
        b"X: " + b"a" * 60_000,
        b"X: " + b"a" * 70_000,
        b"X: \xff\xfe",
        b"X:",
        b"X:\t a \t",
        b"x" * 2000 + b": a",
        b"X: a" * 90,
    ),
    *(
        b"Host: b",
        b"Content-Type: multipart/form-data",
        b"Content-Type: application/json; charset=utf-7",
        b"Accept: \xff",
    ),
    *(b"Content-Encoding: identity", b"Expect: 100-continue", b"Upgrade: websocket\r\nConnection: Upgrade"),
    *(
        b"Connection: close, keep-alive",
        b"Origin: null",
        b"Range: bytes=0-0",
        b"TE: trailers",
        b"Via: 1.0 a",
        b"Forwarded: for=x",
    ),
    b"X: a\r\n" * 1000 + b"X: b",
)
BROKEN_HEADERS = (
    b"X",
    b"X : a",
    b": a",
    b"X\0: a",
    b"X: a\0b",
    b"X: a\rb",
    b" folded",
    b"X(: a",
    b"X: a\n\nY: b",
    b"\xc3\xa4: a",
)
WRONG_LENGTHS = (
    *(b"-1", b"+5", b"1e3", b"0x10", b"5, 5", b"5,6", b"", b" ", b"9" * 30, b"18446744073709551616", b"five", b"5\0"),
    *(b"1_0", b"\xb2", b"5;a", b"5\r\nContent-Length: 6"),
)
WRONG_CHUNKS = (
    *(
        b"z\r\n",
        b"-1\r\n",
        b"ffffffffffffffffff\r\n",
        b"5\r\nab\r\n",
        b"\r\n",
        b"0x5\r\nabcde\r\n",
        b"1\r\naXX0\r\n\r\n",
    ),
    *(b"2\r\n{}\r\n0\r\nX\r\n\r\n", b"1;" + b"a" * 70_000, b"2\n{}\n0\n\n", b" 2\r\n{}\r\n", b"2\r\n{}", b"5;a=\0\r\n"),
)
WRONG_CODINGS = (
    b"gzip",
    b"chunked, gzip",
    b"xchunked",
    b"chunked, identity",
    b"chunked;a=b",
    b"\x0bchunked",
    b"identity",
    b"chunked, chunked",
)
NOT_HTTP = (
    *(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n", b"\0" * 200),
    *(b"GET / HTTP/9.9\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n", b"get / HTTP/1.1\r\n\r\n", b"GET / http/1.1\r\n\r\n"),
    *(
        b"SSH-2.0-a\r\n",
        b"FOO / HTTP/1.1\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\n\r\n",
        b"\r\n" * 50 + b"x\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ),
)


def post(headers: bytes = LENGTH, body: bytes = BODY, path: str = PREDICT) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s" % (path.encode(), headers, body)


def split(content: bytes, random: Random, parts: int) -> list[bytes]:
    """Split `content` at random places."""
    cuts = sorted(random.randrange(len(content) + 1) for _ in range(parts - 1))
    return [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]


def offer(client: Client, random: Random) -> list[Answer]:
    """Offer h2c in one or two requests of a connection, split at random places."""
    framed = [post(OFFER + LENGTH), post(OFFER + CHUNKED, CHUNKS), post(LENGTH + OFFER)]
    requests = [*random.choices(framed, k=random.randrange(1, 3)), post(LENGTH + CLOSE)]
    return client.converse(split(b"".join(requests), random, random.randrange(1, 9)), ["POST"] * len(requests))


def pipeline(client: Client, random: Random) -> list[Answer]:
    """Send several requests at once, and compare the order of the answers."""
    ids = [str(number) for number in range(random.randrange(2, 12))]
    bodies = [json.dumps({"id": id_, "inputs": [v2_input(IMAGES[:1])]}).encode() for id_ in ids]
    requests = [post(b"Content-Length: %d\r\n" % len(body), body, INFER) for body in bodies]
    answers = client.converse(split(b"".join(requests), random, random.randrange(1, 5)), ["POST"] * len(ids))
    if [json.loads(answer.body).get("id") for answer in answers] != ids:
        raise Malformed(f"the answers to {ids} are {answers}")
    return answers


def odd_path(client: Client, random: Random) -> list[Answer]:
    """Ask for a path with a wrong part, by any method."""
    path = bytearray(random.choice(PATHS).encode())
    for _ in range(random.randrange(3)):
        at = random.randrange(1, len(path) + 1)
        path[at:at] = random.choice(ODD_PATH_PARTS)
    method = random.choice(METHODS)
    form = random.choice((b"%s", b"%s", b"%s", b"http://a%s", b"//a%s", b"\x20%s", b"a%s", b"%s\x20b"))
    headers = LENGTH + CLOSE + random.choice((b"", b"Accept: text/html\r\n"))  # a browser gets the page
    request = b"%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s" % (method.encode(), form % path, headers, BODY)
    return client.converse([request], [method])


def connect(client: Client, random: Random) -> list[Answer]:
    """Ask for a tunnel, and send a request into it."""
    target = random.choice((b"a:80", b"127.0.0.1:22", b"/", b"*", b"[::1]:1", b"a"))
    request = b"CONNECT %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s" % (target, random.choice((b"", OFFER)), LIVE)
    return client.converse([request], ["CONNECT"])


def odd_headers(client: Client, random: Random) -> list[Answer]:
    headers = b"".join(header + b"\r\n" for header in random.choices(ODD_HEADERS, k=random.randrange(1, 4)))
    return client.converse([post(headers + LENGTH + CLOSE)], ["POST"])


def broken_headers(client: Client, random: Random) -> list[Answer]:
    return client.converse_to_the_end([post(LENGTH + CLOSE + random.choice(BROKEN_HEADERS) + b"\r\n")])


def wrong_length(client: Client, random: Random) -> list[Answer]:
    return client.converse_to_the_end([post(b"Content-Length: %s\r\n" % random.choice(WRONG_LENGTHS)), LIVE])


def wrong_chunks(client: Client, random: Random) -> list[Answer]:
    chunks = random.choice((b"", b"1\r\n[\r\n")) + random.choice(WRONG_CHUNKS)
    return client.converse_to_the_end([post(CHUNKED, chunks)], may_wait=True)


def smuggling(client: Client, random: Random) -> list[Answer]:
    """Frame a body in two ways; a proxy may find another end of it, and so another request behind it."""
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    length = b"Content-Length: %d\r\n" % random.choice((0, 3, 5, len(CHUNKS), len(CHUNKS) + len(hidden)))
    spaces = random.choice((b"", b" ", b"\t", b"\r\n ", b"\x0b"))
    coding = b"Transfer-Encoding%s:%s %s\r\n" % (
        *random.sample((spaces, b""), 2),
        random.choice((b"chunked", *WRONG_CODINGS)),
    )
    headers = b"".join(random.sample((length, coding, random.choice((b"", length, coding, CHUNKED))), 3))
    return client.converse_to_the_end([post(headers, random.choice((b"0\r\n\r\n", CHUNKS)) + hidden)])


def not_http(client: Client, random: Random) -> list[Answer]:
    content = random.choice((*NOT_HTTP, random.randbytes(99), damaged(post(LENGTH + CLOSE), random)))
    return client.converse_to_the_end([content], may_wait=True)


def hang_up(client: Client, random: Random) -> list[Answer]:
    """Close the connection anywhere in a request, or before its answer."""
    request = random.choice((post(), post(CHUNKED, CHUNKS), post(OFFER + LENGTH), post() * 3, LIVE * 2))
    request = request[: random.choice((len(request), random.randrange(len(request))))]
    client.hang_up(split(request, random, random.randrange(1, 4)), reset=random.random() < 0.5)
    return []


def slow(client: Client, random: Random) -> list[Answer]:
    """Send a request in many small parts."""
    request = random.choice((post(), post(CHUNKED, CHUNKS), post(OFFER + LENGTH)))
    return client.converse(split(request, random, 40), ["POST"], pause=0.01)
