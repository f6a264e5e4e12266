"""The choice of the version that a guarded predictor uses next, from the folder of the versions and its history.

`offered` has the numbers of the versions that are not withdrawn, newest first.
"""

from distml.publishing.versions.history import State


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


def newer_release(current: int, offered: list[int], released: int | None) -> int | None:
    """Return the version that the history has released if it is newer than `current`, else None."""
    return released if released in offered and released is not None and released > current else None


def why_without_trial(version: int, current: int, offered: list[int], state: State) -> str:
    """Return why `version` may take over from `current` without a trial; "" if it needs one."""
    if current in state.withdrawn:
        return f"version {current} was withdrawn"
    if current not in offered and version < current:
        return f"version {current} was removed"
    return "the history says that it is released" if version == state.released else ""


def why_a_trial_ends(candidate: int, trusted: int, offered: list[int], untried: list[int], state: State) -> str:
    """Return why a trial in progress ends before its time; "" if it goes on.

    `untried` has those of `offered` that may still pass a trial.
    """
    if candidate in state.withdrawn:
        return f"withdrawn: {state.withdrawn[candidate].reason}"
    if candidate not in offered:
        return "its folder was removed"
    if trusted in state.withdrawn:
        return f"version {trusted}, the trusted one, was withdrawn"
    if candidate == state.released:
        return "the history says that it is released"
    return f"version {untried[0]} is newer" if untried and untried[0] > candidate else ""
