"""The page at `/`: one self-contained HTML document that sends images to the server it came from."""

import base64
import hashlib
import json
import re
from pathlib import Path
from string import Template
from typing import Any

from distml.protocol import limits
from distml.serving.release.served_version import ServedVersion

FOLDER = Path(__file__).parent
# One module in the page, in this order.
SCRIPTS = ("server.js", "answer.js", "curl.js", "inputs.js", "drawing.js", "charts.js", "live.js")

# In bytes. A longer Accept header is not a browser's, which has fewer than 300.
LONGEST_ACCEPT = 1000

_QUALITY = re.compile(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


class Page:
    """The page of one model, which names the version that answers and contains its samples."""

    def __init__(self, model_name: str):
        self._model_name = model_name
        self._template = Template((FOLDER / "page.html").read_text())
        self._style = (FOLDER / "page.css").read_text()
        self._script = "\n".join((FOLDER / name).read_text() for name in SCRIPTS)
        self._version: ServedVersion | None = None
        self._body = b""
        self._headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", _policy(self._script, self._style).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"vary", b"accept"),
            (b"cache-control", b"no-store"),
        ]

    def answer(self, version: ServedVersion) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Return the headers, without the content's length, and the body of the page for `version`."""
        if version is not self._version:
            facts = {
                "model": self._model_name,
                "version": str(version.number),
                "digest": version.manifest["digest"],
                "classes": version.class_names,
                "samples": version.samples,
                "largest_file": limits.MAX_BYTES_OF_BODY * 3 // 4,
            }
            parts = {"style": self._style, "script": self._script, "facts": _json_in_html(facts)}
            self._version, self._body = version, self._template.substitute(parts).encode()
        return list(self._headers), self._body


def wants(accept: bytes | None) -> bool:
    """Return whether an Accept header prefers HTML to JSON, as a browser's does; curl's `*/*` does not."""
    if accept is None or len(accept) > LONGEST_ACCEPT:
        return False
    ranges: dict[str, float] = {}
    for one in accept.decode("latin-1").lower().split(","):
        name, *parameters = one.split(";")
        qualities = [float(found[1]) for found in map(_QUALITY.fullmatch, parameters) if found]
        ranges[name.strip()] = qualities[0] if qualities else 1.0
    return _quality(ranges, "text", "html") > _quality(ranges, "application", "json")


def _quality(ranges: dict[str, float], kind: str, subtype: str) -> float:
    """Return the quality of the most specific range that matches, as RFC 9110 defines it."""
    names = (f"{kind}/{subtype}", f"{kind}/*", "*/*")
    return next((ranges[name] for name in names if name in ranges), 0.0)


def _policy(script: str, style: str) -> str:
    """Return the Content-Security-Policy that allows this script and this style, and requests to this server only."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "connect-src 'self'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json_in_html(document: Any) -> str:
    """Return JSON for a script element: without `<`, no text in it can end the element or open a comment."""
    return json.dumps(document).replace("<", "\\u003c")
