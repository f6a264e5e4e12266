"""Where the data come from when a network, a server or apt-get does not do its part."""

import gzip
import http.server
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from distml.data import debian_package, sources
from distml.step import outcome as step
from support.project import SOURCE

REMEDY = (
    "Connect this machine to the internet, or install the Debian package dataset-fashion-mnist, or give a folder with"
    " its four .gz files (make run SOURCE=FOLDER; --source FOLDER)"
)
IMAGES, FIRST = sources.FILES[0], sources.SMALLEST
APT_GET = """#!/bin/sh
case "$*" in
  *" update") {update};;
  *" --print-uris "*) {listed};;
  *" download "*) {download};;
esac
"""
LISTED = "echo \"'http://mirror/p.deb' dataset-fashion-mnist_1_all.deb 31 SHA256:0\""
UNPACKED = f"$3/{debian_package.FOLDER_IN_PACKAGE}"
DOWNLOAD = "echo package > dataset-fashion-mnist_1_all.deb"


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No folder of Debian's package, and no proxy before the servers of the tests."""
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", tmp_path / "not-installed")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def short_waits(monkeypatch):
    """Deadlines for tests that reach them."""
    monkeypatch.setattr(sources, "PROBE_SECONDS", 1)
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(debian_package, "FIRST_BYTE_SECONDS", 0.5)
    monkeypatch.setattr(debian_package, "STALL_SECONDS", 1)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; `answers` holds the files that are answered otherwise."""

    answers: ClassVar[dict] = {}

    def do_GET(self):
        answer = self.answers.get(self.path.lstrip("/"))
        answer(self) if answer else super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, small_source):
    """A server in the place of the public one; its attribute `answers` is a dictionary to fill."""
    answers: dict = {}
    handler = type("Handler", (Handler,), {"answers": answers})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(small_source)))
    server.daemon_threads, server.block_on_close = True, False
    server.answers = answers
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setattr(sources, "URL", f"http://127.0.0.1:{server.server_port}/")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def unreachable(monkeypatch):
    """The public server is out of reach."""
    monkeypatch.setattr(sources, "URL", f"http://127.0.0.1:{closed_port()}/")


@pytest.fixture
def apt(tmp_path, monkeypatch, small_source):
    """Sets what the steps of an apt-get of the test's own do; the package holds the files of `small_source`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def install(update="echo list > lists/list", listed=LISTED, download=DOWNLOAD, unpack="true"):
        script = APT_GET.format(update=update, listed=listed, download=download)
        extract = f'#!/bin/sh\nmkdir -p "{UNPACKED}" && cp "{small_source}"/* "{UNPACKED}" && {unpack}\n'
        for name, text in (("apt-get", script), ("dpkg-deb", extract)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)

    install()
    return install


def obtain(tmp_path: Path, source: str, progress=None) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return sources.obtain(source, folder, progress)


def why_not(tmp_path: Path, source: str) -> str:
    """The reason that `obtain` gives, without the remedy that follows."""
    with pytest.raises(sources.NotObtained) as failed:
        obtain(tmp_path, source)
    assert failed.value.exit_status == 1
    line = re.fullmatch(rf"Fashion-MNIST could not be downloaded: (.*)\. {re.escape(REMEDY)}", str(failed.value))
    return line[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def page(handler: Handler) -> None:
    """Answer as the login page of a hotel's network does."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>Please log in</html>")


def silence(handler: Handler) -> None:
    time.sleep(30)


def refuse(handler: Handler) -> None:
    handler.send_error(403)


def cut(handler: Handler) -> None:
    """End the connection in the middle of a file."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(gzip.compress(b"images" * 100)[:20])


def stall(handler: Handler) -> None:
    """Fall silent in the middle of a file."""
    cut(handler)
    time.sleep(30)


def trickle(handler: Handler) -> None:
    """Send a byte now and then."""
    cut(handler)
    for _ in range(30):
        time.sleep(0.2)
        handler.wfile.write(b".")


def test_the_module_needs_the_standard_library_alone():
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from distml.data import sources; print(sources.WORDS)"
    printed = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == "('auto', 'download', 'apt')\n"


def test_the_folder_of_the_installed_package_comes_first(tmp_path, monkeypatch, server, apt, small_source, capsys):
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", small_source)
    assert obtain(tmp_path, "auto") == small_source
    assert sources.where("auto") == f"the folder {small_source}"
    assert capsys.readouterr().out == f"reading Fashion-MNIST from {small_source}\n"


def test_a_damaged_installed_package_is_passed_over(tmp_path, monkeypatch, server, capsys):
    installed = tmp_path / "installed"
    installed.mkdir()
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", installed)
    assert obtain(tmp_path, "auto") == tmp_path / "fetched"
    files = ", ".join(sources.FILES)
    assert f"passed over: {installed / IMAGES} is missing; expected the four files {files}" in capsys.readouterr().out


def test_a_download_is_checked_and_reports_its_progress(tmp_path, server, small_source):
    arrived = []
    folder = obtain(tmp_path, "download", lambda done, total: arrived.append((done, total)))
    sizes = {name: (small_source / name).stat().st_size for name in sources.FILES}
    assert {name: (folder / name).stat().st_size for name in sources.FILES} == sizes
    assert arrived[-1] == (sum(sizes.values()), 30_878_645)


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        (FIRST, refuse, "127.0.0.1: HTTP status 403"),
        (FIRST, page, f"what URL{FIRST} answers cannot be decompressed (Not a gzipped file (b'<h')); fetch it again"),
        (IMAGES, refuse, "127.0.0.1: HTTP status 403"),
        (
            IMAGES,
            cut,
            f"what URL{IMAGES} answers cannot be decompressed (Compressed file ended before the end-of-stream marker"
            " was reached); fetch it again",
        ),
    ],
)
def test_a_failed_download_says_why(tmp_path, server, name, answer, reason):
    server.answers[name] = answer
    assert why_not(tmp_path, "download") == reason.replace("URL", sources.URL)


@pytest.mark.parametrize(("name", "answer"), [(FIRST, silence), (FIRST, trickle), (IMAGES, stall)])
def test_a_download_that_falls_silent_is_given_up(tmp_path, server, short_waits, name, answer):
    server.answers[name] = answer
    assert why_not(tmp_path, "download") == "127.0.0.1: no answer in time"


def test_a_server_that_refuses_connections_is_named(tmp_path, unreachable):
    assert why_not(tmp_path, "download") == "127.0.0.1: Connection refused"


def test_a_server_that_never_accepts_is_given_up(tmp_path, monkeypatch, short_waits):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # they fill the queue: whoever comes next gets no answer
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        monkeypatch.setattr(sources, "URL", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert why_not(tmp_path, "download") == "127.0.0.1: no answer in time"
        for client in waiting:
            client.close()


def test_a_name_that_is_never_resolved_is_given_up(tmp_path, monkeypatch, short_waits):
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: never.wait(30) or [])
    monkeypatch.setattr(sources, "URL", "http://nowhere.invalid/")
    assert why_not(tmp_path, "download") == "nowhere.invalid: no answer in time"
    never.set()


def test_a_proxy_that_refuses_is_named_as_one(tmp_path, monkeypatch, server):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert why_not(tmp_path, "download") == "127.0.0.1 by the proxy of http_proxy: Connection refused"


def test_a_full_disk_is_no_failed_download(tmp_path, monkeypatch, server):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left on device") as failed:
        obtain(tmp_path, "auto")
    assert failed.value.filename == str(tmp_path / "fetched" / FIRST)


@pytest.mark.parametrize("answer", [page, cut, refuse])
def test_after_a_failed_download_the_package_is_fetched(tmp_path, server, apt, answer):
    server.answers[IMAGES] = answer
    folder = obtain(tmp_path, "auto")
    assert folder == tmp_path / "fetched/package/unpacked/usr/share/datasets/fashion-mnist"
    sources.check_files(folder)


def test_the_package_reports_its_progress(tmp_path, apt):
    file, seen, arrived = "dataset-fashion-mnist_1_all.deb", tmp_path / "seen", []
    apt(download=f"echo half > {file}; until [ -e {seen} ]; do sleep 0.05; done; echo all >> {file}")

    def note(done: int, total: int | None) -> None:
        arrived.append((done, total))
        if total:
            seen.touch()

    obtain(tmp_path, "apt", note)
    assert [step for step in arrived if step[1]] in ([(5, 31), (9, 9)], [(5, 31), (9, 31), (9, 9)])


def test_other_programs_hooks_and_folders_of_apt_are_left_alone(tmp_path, apt):
    apt(update='cp apt.conf ../conf; echo "$@" > ../arguments')
    obtain(tmp_path, "apt")
    assert "#clear APT::Update::Post-Invoke;" in (tmp_path / "fetched/conf").read_text()
    work = tmp_path / "fetched/package"
    arguments = (tmp_path / "fetched/arguments").read_text()
    for setting in ("Dir::State::Lists=WORK/lists", "Dir::State::status=WORK/status", "Dir::Cache=WORK/cache"):
        assert f"-o {setting.replace('WORK', str(work))} " in arguments


def test_a_dead_package_source_beside_a_good_one_does_no_harm(tmp_path, apt):
    apt(update="echo list > lists/list; echo 'E: Failed to fetch http://dead/'; exit 100")
    sources.check_files(obtain(tmp_path, "apt"))


MISSING = "echo 'E: Unable to locate package dataset-fashion-mnist'; exit 100"
DEAD = "echo 'W: Failed to fetch http://mirror/InRelease  Connection refused'; echo 'W: Some index files failed'"


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ({"listed": MISSING}, "apt-get: Unable to locate package dataset-fashion-mnist"),
        (
            {"update": DEAD, "listed": MISSING},
            "apt-get: Unable to locate package dataset-fashion-mnist"
            " (Failed to fetch http://mirror/InRelease Connection refused)",
        ),
        ({"download": "exit 9"}, "apt-get: ended with status 9"),
        ({"download": "true"}, "apt-get download left no file dataset-fashion-mnist_*.deb"),
        ({"unpack": "{ echo 'not a Debian format archive'; exit 2; }"}, "dpkg-deb: not a Debian format archive"),
        (
            {"unpack": f'rm "{UNPACKED}/{IMAGES}"'},
            f"in the package dataset-fashion-mnist {IMAGES} is missing; expected the four files"
            f" {', '.join(sources.FILES)}",
        ),
        (
            {"unpack": f'cp "{UNPACKED}/{FIRST}" "{UNPACKED}/{IMAGES}"'},
            f"in the package dataset-fashion-mnist {IMAGES} does not hold Fashion-MNIST's content (SHA-256 differs);"
            " fetch it again",
        ),
    ],
)
def test_a_package_that_cannot_be_fetched_says_why(tmp_path, apt, steps, reason):
    apt(**steps)
    assert why_not(tmp_path, "apt") == reason


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (
            {"update": "sleep 30", "listed": MISSING},
            "apt-get: Unable to locate package dataset-fashion-mnist (no byte arrived for 0.5 s)",
        ),
        ({"download": "echo begun > x; sleep 30"}, "apt-get: no byte arrived for 1 s"),
    ],
)
def test_an_apt_get_that_falls_silent_is_given_up(tmp_path, apt, short_waits, steps, reason):
    apt(**steps)
    assert why_not(tmp_path, "apt") == reason


def test_an_apt_get_that_is_given_up_is_ended_with_its_children(tmp_path, apt, short_waits):
    apt(update=f"sh -c 'echo $$ > {tmp_path}/child; exec sleep 30' & sleep 30", listed=MISSING)
    why_not(tmp_path, "apt")
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    while child.exists() and child.read_text().split()[2] != "Z":
        time.sleep(0.01)


def test_a_disk_that_apt_get_finds_full_is_named(tmp_path, apt):
    apt(download="echo 'E: Write error - write (28: No space left on device)'; exit 100")
    with pytest.raises(OSError, match="No space left on device") as failed:
        obtain(tmp_path, "apt")
    assert failed.value.filename == str(tmp_path / "fetched/package")


@pytest.mark.parametrize("program", ["apt-get", "dpkg-deb"])
def test_a_machine_without_apt_is_told_so(tmp_path, monkeypatch, apt, program):
    (tmp_path / "programs" / program).unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    assert why_not(tmp_path, "apt") == f"{program} is not on this machine"


def test_without_any_source_one_line_names_each_reason(tmp_path, unreachable, apt, capsys):
    apt(update=DEAD, listed=MISSING)
    assert why_not(tmp_path, "auto") == (
        "127.0.0.1: Connection refused; apt-get: Unable to locate package dataset-fashion-mnist"
        " (Failed to fetch http://mirror/InRelease Connection refused)"
    )
    assert "passed over" not in capsys.readouterr().out


def test_where_names_the_source_that_would_be_used(server, apt, small_source):
    assert sources.where(str(small_source)) == f"the folder {small_source}"
    assert sources.where("auto") == "a download of 31 MB from 127.0.0.1"
    server.answers[FIRST] = refuse
    assert sources.where("auto") == "Debian's package dataset-fashion-mnist (0 MB) by apt-get"
    apt(listed=MISSING)
    with pytest.raises(sources.NotObtained, match=r"downloaded: 127\.0\.0\.1: HTTP status 403; apt-get: "):
        sources.where("auto")


@pytest.mark.parametrize("name", sources.FILES)
def test_a_missing_file_is_named(small_source, name):
    (small_source / name).unlink()
    with pytest.raises(step.StepError, match=f"{small_source / name} is missing; expected the four files"):
        sources.obtain(str(small_source), small_source)


@pytest.mark.parametrize("name", sources.FILES)
def test_a_file_that_was_cut_short_is_named(small_source, name):
    (small_source / name).write_bytes((small_source / name).read_bytes()[:-9])
    with pytest.raises(step.StepError, match=f"{small_source / name} cannot be decompressed"):
        sources.check_files(small_source)


@pytest.mark.parametrize("name", sources.FILES)
def test_a_file_of_other_content_is_named(small_source, name):
    (small_source / name).write_bytes(gzip.compress(b"something else"))
    with pytest.raises(step.StepError, match=f"{small_source / name} does not hold Fashion-MNIST's content"):
        sources.check_files(small_source)


def test_a_file_that_may_not_be_read_is_named(small_source, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(gzip, "open", denied)
    with pytest.raises(step.StepError, match=rf"{small_source / IMAGES} cannot be read \(Permission denied\)"):
        sources.check_files(small_source)


def test_the_real_apt_get_finds_the_package(tmp_path, monkeypatch):
    monkeypatch.undo()
    if not shutil.which("apt-get"):
        pytest.skip("this machine has no apt-get")
    before = sorted(Path("/var/lib/apt/lists").iterdir())
    try:
        size = debian_package.size(tmp_path)
    except debian_package.Unavailable as error:
        pytest.skip(f"the package sources of this machine are out of reach or lack the package: {error}")
    assert size > 30_000_000
    assert sorted(Path("/var/lib/apt/lists").iterdir()) == before
