"""The document at `/`: its parts, its headers, and the Accept headers that get it."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence

import pytest

from distml.serving.page.page import FOLDER, LONGEST_ACCEPT, SCRIPTS, Page, wants
from distml.serving.release.served_version import ServedVersion

FACTS = {
    "model": "fashion",
    "version": "7",
    "digest": "abc",
    "classes": ["Bag", "Coat"],
    "samples": ["AA==", "AQ=="],
    "largest_file": 3 * 2**21,  # of the 8 MiB of a body, base64 leaves three quarters
}
SCRIPT, DATA = 'script type="module"', 'script type="application/json"'


def version(number: int = 7, classes: Sequence[str] = ("Bag", "Coat")) -> ServedVersion:
    manifest = {"digest": "abc", "class_names": list(classes)}
    return ServedVersion(number, manifest, lambda images: images, ["AA==", "AQ=="])


def element(name: str, document: bytes) -> str:
    """Return the text of the only element that starts with the tag `name`."""
    (text,) = re.findall(f"<{name}[^>]*>(.*?)</{name.split()[0]}>", document.decode(), re.DOTALL)
    return text


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_only_the_script_and_the_style_of_the_page() -> None:
    headers, body = Page("fashion").answer(version())
    assert dict(headers)[b"content-security-policy"].decode().split("; ") == [
        "default-src 'none'",
        f"script-src {sha256(element(SCRIPT, body))}",
        f"style-src {sha256(element('style', body))}",
        "connect-src 'self'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


def test_the_page_has_the_other_headers_of_a_safe_document() -> None:
    headers = dict(Page("fashion").answer(version())[0])
    del headers[b"content-security-policy"]
    assert headers == {
        b"content-type": b"text/html; charset=utf-8",
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"no-referrer",
        b"vary": b"accept",
        b"cache-control": b"no-store",
    }


def test_the_page_contains_the_facts_of_the_version_that_answers() -> None:
    of_fashion = Page("fashion")
    for number in (7, 8, 8):
        document = of_fashion.answer(version(number))[1]
        assert json.loads(element(DATA, document)) == {**FACTS, "version": str(number)}


def test_the_page_of_a_version_is_put_together_once() -> None:
    of_fashion, served = Page("fashion"), version()
    assert of_fashion.answer(served)[1] is of_fashion.answer(served)[1]


def test_a_class_name_cannot_end_the_script_or_open_a_comment() -> None:
    names = ["</script><script>alert(1)</script>", "<!--<script>", "$script", "Café \u2028"]
    facts = element(DATA, Page("fashion").answer(version(classes=names))[1])
    assert "<" not in facts
    assert json.loads(facts)["classes"] == names


def test_each_source_of_the_page_is_a_part_of_it() -> None:
    sources = {path.name for path in FOLDER.iterdir() if path.suffix in (".css", ".html", ".js")}
    assert sources == {"page.html", "page.css", *SCRIPTS}
    document = Page("fashion").answer(version())[1].decode()
    assert [name for name in ("page.css", *SCRIPTS) if (FOLDER / name).read_text() not in document] == []


def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    document = Page("fashion").answer(version())[1].decode()
    addresses = set(re.findall(r"https?://[^\"' ]+", document))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace, which no browser fetches
    assert re.findall(r"<[^>]*\s(?:style|on\w+|src)=", (FOLDER / "page.html").read_text()) == []
    assert re.findall(r"</script|<!--", "".join((FOLDER / name).read_text() for name in SCRIPTS)) == []


@pytest.mark.parametrize(
    "accept",
    [
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "text/html",
        "TEXT/HTML; Q=0.5",
        "text/*, application/json;q=0.9",
        "application/json;q=0.1, text/html;level=1;q=0.2",
        ", text/html,",
    ],
)
def test_an_accept_header_that_prefers_html_gets_the_page(accept: str) -> None:
    assert wants(accept.encode())


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "",
        "application/json",
        "text/html, application/json",
        "text/html;q=0.5, */*",
        "text/html;q=0",
        "text/html;q=0, */*;q=0",
        "text/htmlx",
        ",;,q=1,\xff",
    ],
)
def test_any_other_accept_header_gets_json(accept: str) -> None:
    assert not wants(accept.encode("latin-1"))


def test_a_request_without_an_accept_header_gets_json() -> None:
    assert not wants(None)


def test_an_accept_header_that_no_browser_sends_is_not_read() -> None:
    longest = b"text/html".ljust(LONGEST_ACCEPT, b",")
    assert [wants(longest), wants(longest + b",")] == [True, False]
