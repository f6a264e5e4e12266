"""The choice of the version that a guarded predictor uses next, from the folder of the versions and its history.

`offered` has the numbers of the versions that are not withdrawn, newest first.
"""

from collections.abc import Callable

from distml.publishing.versions.history import State, describe
from distml.serving.release.served_version import ServedVersion

# Why a version takes over, or ends its trial, when the history has decided.
RELEASED = "the history says that it is released"


def order_at_the_start(offered: list[int], released: int | None) -> list[int]:
    """Return the order in which a starting predictor tries versions: the released one, older ones, then newer ones.

    Without a released version, the newest comes first. A newer version than the released one has not passed a trial; it
    only answers if no other version is intact.
    """
    if released is None:
        return offered
    older = [number for number in offered if number <= released]
    return older + [number for number in reversed(offered) if number > released]


def order_after(current: int, offered: list[int], state: State) -> list[int]:
    """Return the versions that may follow `current`, in the order in which they are tried.

    While `current` is offered, these are the newer ones. Otherwise it was withdrawn or removed: the released or an
    older version takes over again, or a newer one if there is no other.
    """
    newer = [number for number in offered if number >= current]
    if current in offered:
        return newer
    older = [number for number in offered if number < current]
    return ([state.released] if state.released in offered else []) + older + newer


def is_as_published(number: int, digest: str | None, state: State) -> bool:
    """Return whether the files of a version, with this digest, are those that were published, as far as is recorded.

    The digest is None if the manifest cannot be read; loading the version then shows what is wrong.
    """
    record = state.published.get(number)
    return digest is None or record is None or record.facts.get("digest") in (None, digest)


def trusted_release(state: State, is_as_published: Callable[[int], bool]) -> int | None:
    """Return the released version, or the one released before it if its files were replaced, or else 0.

    No version has the number 0. So all are newer than the released one, and need a trial.
    """
    if state.released is None:
        return None
    released = (number for number in (state.released, state.released_before) if number is not None)
    return next(filter(is_as_published, released), 0)


def newer_release(current: int, offered: list[int], released: int | None) -> int | None:
    """Return the version that the history has released if it is newer than `current`, else None."""
    return released if released in offered and released is not None and released > current else None


def why_without_trial(version: ServedVersion, current: int, offered: list[int], state: State) -> str:
    """Return why `version` may take over from `current` without a trial; "" if it needs one."""
    if current in state.withdrawn:
        return f"version {current} was withdrawn"
    if current not in offered and version.number < current:
        return f"version {current} was removed"
    return RELEASED if is_released(version, offered, state) else ""


def is_released(version: ServedVersion, offered: list[int], state: State) -> bool:
    """Return whether the history has released this very version, which is still offered."""
    is_marked = version.number == state.released and version.number in offered
    return is_marked and is_as_published(version.number, version.manifest["digest"], state)


def why_a_trial_ends(candidate: int, trusted: int, offered: list[int], state: State) -> str:
    """Return why a trial in progress ends before its time without a result; "" if it goes on."""
    if candidate in state.withdrawn:
        return describe(state.withdrawn[candidate])
    if candidate not in offered:
        return "its folder was removed"
    if trusted in state.withdrawn:
        return f"version {trusted}, the trusted one, was withdrawn"
    return ""
