"""The end of a script: success, or one line with the reason and an exit status."""

import argparse
import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from distml.step.atomic_files import shared_by_group

REFUSED = 3
DRIFT = 4
LOST_PEER = 5
TERMINATED = 128 + signal.SIGTERM
CLEAR_LINE = "\r\x1b[K"
# The kubelet reports the content of this file as the container's termination message.
TERMINATION_LOG = Path("/dev/termination-log")
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
DISK_ERRORS = (*NO_SPACE, errno.EROFS, errno.EACCES)
# For errors that name a file: what to do, and the exit status (1 if a retry may succeed, else 2).
REMEDIES = {
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM), ("; let this user write there, or choose another place", 1)
    ),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), ("; a file is where a folder is expected", 2)),
    errno.EISDIR: ("; a folder is where a file is expected", 2),
    errno.ENAMETOOLONG: ("; give it a shorter name", 2),
}
# Callbacks for a failed end: (message, exit status).
failure_callbacks: list[Callable[[str, int], None]] = []


class StepError(Exception):
    """A failure a user can act on: what was wrong, what was expected, what to do. One line."""

    exit_status = 2


class Refused(StepError):
    """The quality gate refused the winner, or a predictor a version; a retry would end the same way."""

    exit_status = REFUSED


def run(main: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Run a step; a StepError, an OSError, Ctrl-C or SIGTERM ends the step with one line and a non-zero status.

    If the reader of its output exits, as in `make run | head`, the step ends silently, like any writer to a pipe.
    """
    # Without a handler, process 1 of a container ignores SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: fail("ended by SIGTERM", TERMINATED))
    if shared_by_group():
        os.umask(0o002)
    try:
        main(args)
        sys.stdout.flush()
    except StepError as error:
        fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        fail("stopped by Ctrl-C", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit must not fail again
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        fail(*describe_os_error(error))
    except Exception as error:
        call_failure_callbacks(f"{type(error).__name__}: {error}".splitlines()[0], 1)
        raise


def write_line(stream: TextIO, text: str) -> None:
    """Write a whole line in one call, so that lines of several processes never mix.

    On a terminal the line replaces a progress bar, which another process may have drawn.
    """
    stream.write(f"{CLEAR_LINE if stream.isatty() else ''}{text}\n")
    stream.flush()


def describe_os_error(error: OSError) -> tuple[str, int]:
    """Return the message and the exit status for an OSError, which may concern any file, not only the volume."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
    if error.errno in NO_SPACE:
        reason += "; make space on that disk (pipeline_admin.py remove-runs removes old runs from a volume)"
    if not names:
        return f"the system refused an operation: {reason}", 1
    remedy, status = REMEDIES.get(error.errno or 0, ("", 1))
    return f"cannot use {' -> '.join(names)}: {reason}{remedy}", status


def disk_error_behind(error: BaseException | None) -> OSError | None:
    """Return the disk error that led to `error`, or None: TensorFlow reports them in exceptions of its own."""
    while error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error
        for number in DISK_ERRORS:
            # TensorFlow writes "{{function_node …}} /volume/checkpoint.data; No space left on device [Op:SaveV2]".
            if found := re.search(rf"(\S*); {os.strerror(number)}", str(error)):
                return OSError(number, os.strerror(number), found[1] or None)
        error = error.__cause__ or error.__context__
    return None


def fail(message: str, status: int = 1) -> NoReturn:
    """Print one line on stderr and exit with `status`."""
    with contextlib.suppress(OSError):  # the terminal may be closed
        write_line(sys.stderr, f"{Path(sys.argv[0]).name}: {message}")
    if TERMINATION_LOG.is_file():
        TERMINATION_LOG.write_text(message)
    call_failure_callbacks(message, status)
    sys.exit(status)


def call_failure_callbacks(message: str, status: int) -> None:
    for callback in failure_callbacks:
        callback(message, status)
