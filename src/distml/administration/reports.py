"""The subcommand `serve-reports`: pages with all runs of a volume and their reports, for a browser on this machine."""

import argparse
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from distml.publishing.report import overview
from distml.step import command_line, network, outcome
from distml.step.progress_bar import say
from distml.step.volume import Volume

ADDRESS = "127.0.0.1"
TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".txt": "text/plain; charset=utf-8"}
# The only files that a request can name; a run's name has no slash, and does not begin with a dot.
REPORT = re.compile(
    rf"/(?P<folder>(?:runs/{command_line.PLAIN_NAME.pattern}/)?report)/(?P<file>index\.html|report\.json)?"
)
# The names of this machine. A page of another site could make its own name lead here, and then read what is served.
HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d*)?", re.IGNORECASE)
# The pages have their style and their images inside, and no script.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def serve_reports(args: argparse.Namespace) -> None:
    """Run `serve-reports`."""
    if not args.volume.root.is_dir():
        raise outcome.StepError(f"there is no volume {args.volume}; name its folder with --volume")
    try:
        server = Server(args.volume, args.port)
    except OSError as error:
        raise outcome.StepError(
            f"cannot listen on port {args.port}: {network.reason(error)}; choose another --port"
        ) from None
    say(f"reports: http://localhost:{server.server_port}/")
    with server:
        server.serve_forever()


class Server(ThreadingHTTPServer):
    """A server of one volume's pages, which only this machine reaches."""

    def __init__(self, volume: Volume, port: int):
        self.volume = volume
        super().__init__((ADDRESS, port), Handler)


class Handler(BaseHTTPRequestHandler):
    """The answers to GET and HEAD."""

    server: Server
    timeout = 30

    def do_GET(self) -> None:
        if not HERE.fullmatch(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.FORBIDDEN, explain="Open the pages as http://localhost, with the same port.")
            return
        found = content_of(self.server.volume, self.path.partition("?")[0])
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND, explain="There is no such page. The first page, /, lists all.")
            return
        kind, content = found
        self.send_response(HTTPStatus.OK)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: a probe asks every few seconds. Errors are logged."""


def content_of(volume: Volume, path: str) -> tuple[str, bytes] | None:
    """Return the type and the content of the page at a path; None if the path is not that of a page."""
    if path == "/":
        # A damaged report may have characters that have no UTF-8.
        return TYPES[".html"], overview.render(volume).encode(errors="replace")
    if path == "/history.txt":
        file = volume.history
    elif found := REPORT.fullmatch(path):
        file = volume.root / found["folder"] / (found["file"] or "index.html")
    else:
        return None
    content = overview.read(volume, file)
    return None if content is None else (TYPES[file.suffix], content)


def add_serve_reports(subcommands: "command_line.Subcommands") -> None:
    """Add the options of `serve-reports`, which the pod of tensorboard.yaml runs."""
    parser = subcommands.add_parser(
        "serve-reports",
        help="show all runs and their reports as pages in a browser",
        description=f"Show all runs of a volume and their reports as pages, at {ADDRESS} only, until Ctrl-C.",
    )
    command_line.add_volume(parser)
    parser.add_argument("--port", type=command_line.port, default=6007, help="port of the pages")
    parser.set_defaults(task=serve_reports)
