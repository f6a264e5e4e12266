"""The pages of the reports: only the overview, reports and the history can be reached."""

import contextlib
import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline_admin
from distml.administration import reports
from distml.step import network
from distml.step.volume import Volume
from support.project import run_script


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with one report and, outside its report, files that nobody may reach."""
    volume = Volume(tmp_path / "volume")
    for folder in (volume.version(1), volume.dataset, volume.run("bare")):
        folder.mkdir(parents=True)
    for folder in (volume.report, volume.run_report("first")):
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(f"the page of {folder.parent.name}")
        (folder / "report.json").write_text('{"winner": "plain"}')
    for name in ("../secret", "saved_model_versions/1/model", "datasets/fashion_mnist/data", "runs/first/run.json"):
        (volume.root / name).write_text("secret")
    volume.history.write_text("time\n")
    return volume


@pytest.fixture
def port(volume: Volume) -> Iterator[int]:
    """Serve the volume's pages on a free port."""
    with reports.Server(volume, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, method: str = "GET", host: str = "localhost") -> tuple[int, str, str]:
    """Ask for a path, which is sent as it is; return the status, the type and the body."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/report/", "text/html; charset=utf-8", "the page of volume"),
        ("/runs/first/report/", "text/html; charset=utf-8", "the page of first"),
        ("/runs/first/report/index.html?a=1", "text/html; charset=utf-8", "the page of first"),
        ("/runs/first/report/report.json", "application/json", '{"winner": "plain"}'),
        ("/history.txt", "text/plain; charset=utf-8", "time\n"),
    ],
)
def test_reports_and_the_history_are_pages(port: int, path: str, kind: str, body: str) -> None:
    assert ask(port, path) == (200, kind, body)


def test_the_first_page_links_each_report(port: int) -> None:
    status, kind, page = ask(port, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert '<a href="/runs/first/report/">first</a>' in page and "/runs/bare/" not in page


def test_the_first_page_shows_a_report_with_broken_characters(port: int, volume: Volume) -> None:
    (volume.run_report("first") / "report.json").write_text('{"winner": "plain\\ud800"}')
    status, _, page = ask(port, "/")
    assert (status, "plain?" in page) == (200, True)


def test_head_gets_the_headers_of_a_page_without_its_body(port: int) -> None:
    assert ask(port, "/history.txt", "HEAD") == (200, "text/plain; charset=utf-8", "")


@pytest.mark.parametrize(
    "path",
    [
        *("/runs", "/runs/", "/runs/first/", "/runs/first/report", "/runs/first/run.json", "/runs/bare/report/"),
        *("/datasets/fashion_mnist/data", "/saved_model_versions/1/model", "/report/secret", "/report/index.html/"),
        *("/../secret", "/report/../../secret", "/runs/../../secret", "/runs/../saved_model_versions/1/model"),
        *("/runs/first/report/../run.json", "/runs/%2e%2e/report/index.html", "/runs/..%2f..%2f/report/"),
        *("/%2e%2e/secret", "//secret", "/report//index.html", "/report/index.html%00", "/favicon.ico"),
    ],
)
def test_no_other_path_is_a_page(port: int, path: str) -> None:
    status, _, body = ask(port, path)
    assert (status, "secret" in body) == (404, False)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:16007", "127.0.0.1:6007", "[::1]:6007", "[::1]"])
def test_each_name_of_this_machine_may_be_asked_with_any_port(port: int, host: str) -> None:
    assert ask(port, "/report/", host=host)[0] == 200


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example:6007", "127.0.0.1.evil.example", "::1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_of_another_site_under_its_own_name_gets_403(port: int, method: str, host: str) -> None:
    status, _, body = ask(port, "/history.txt", method, host)
    assert (status, "time" in body) == (403, False)


@pytest.mark.parametrize("name", ["runs", "runs/first", "runs/first/report", "runs/first/report/index.html"])
def test_a_link_on_the_volume_is_not_followed(port: int, volume: Volume, name: str) -> None:
    assert ask(port, "/runs/first/report/")[0] == 200
    link = volume.root / name
    link.symlink_to(link.rename(volume.root.parent / "moved"))
    assert ask(port, "/runs/first/report/")[0] == 404


@pytest.mark.parametrize("name", ["runs", "runs/first", "runs/first/report", "runs/first/report/report.json"])
def test_the_first_page_has_nothing_from_behind_a_link(port: int, volume: Volume, name: str) -> None:
    assert "plain" in ask(port, "/")[2]
    link = volume.root / name
    link.symlink_to(link.rename(volume.root.parent / "moved"))
    status, _, page = ask(port, "/")
    assert (status, "plain" in page, ">bare<" in page) == (200, False, name != "runs")


def test_a_pipe_in_place_of_a_report_is_not_read(port: int, volume: Volume) -> None:
    (volume.report / "index.html").unlink()
    os.mkfifo(volume.report / "index.html")
    assert ask(port, "/report/")[0] == 404


def test_the_pages_may_load_nothing_from_elsewhere(port: int) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/")
        headers = dict(connection.getresponse().getheaders())
    assert headers.items() >= reports.HEADERS.items()


def test_serve_reports_uses_port_6007_of_this_machine_only(volume: Volume) -> None:
    assert pipeline_admin.parse_args(["serve-reports"]).port == 6007
    with reports.Server(volume, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_serve_reports_on_a_port_in_use_exits_with_one_sentence(volume: Volume) -> None:
    with network.listen(0) as listener:
        port = listener.getsockname()[1]
        ended = run_script("pipeline_admin.py", "serve-reports", "--volume", volume, "--port", port)
    message = f"pipeline_admin.py: cannot listen on port {port}: Address already in use; choose another --port\n"
    assert (ended.returncode, ended.stderr) == (2, message)
