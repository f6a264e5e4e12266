"""Tests that need a program are skipped without it, except where the environment demands the program."""

import pytest

from support.programs import program_or_skip

REASON = "this machine has no no-such-browser; install Debian's package browser"


def test_a_program_is_found_on_the_path() -> None:
    assert program_or_skip("sh", "dash").endswith("/sh")


def test_a_missing_program_skips_the_test_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL_PROGRAMS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"^{REASON}$"):
        program_or_skip("no-such-browser", "browser")


def test_a_missing_program_fails_the_test_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL_PROGRAMS", "1")
    with pytest.raises(pytest.fail.Exception, match=f"^{REASON}, which REQUIRE_ALL_PROGRAMS=1 demands$"):
        program_or_skip("no-such-browser", "browser")
