"""The documentation of the limits, compared with the table."""

import re

from distml.protocol import limits
from support.project import ROOT

DESIGN = (ROOT / "docs" / "design.md").read_text()
README = " ".join((ROOT / "README.md").read_text().split())


def test_the_design_page_lists_each_limit_with_its_value_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) \|", DESIGN, re.MULTILINE)
    documented = {name: int(value.replace(",", "")) for name, value in rows}
    assert documented == {name: value for name, value in vars(limits).items() if name.isupper()}


def test_the_name_of_each_limit_contains_its_unit() -> None:
    units = "PIXELS|BYTES|IMAGES|REQUESTS|SCANS|VALUES|SECONDS"
    names = [name for name in vars(limits) if name.isupper()]
    assert [name for name in names if not re.search(rf"(^|_)({units})(_|$)", name)] == []


def test_the_readme_quotes_the_limits_correctly() -> None:
    for sentence in (
        f"JPEG or PNG of up to {limits.MAX_PIXELS_OF_IMAGE:,} pixels",
        f"up to {limits.MAX_IMAGES_OF_REQUEST} in a request",
        f"| 408 | the body had not arrived after {limits.SECONDS_FOR_BODY} seconds |",
        f"| 413 | the body is longer than {limits.MAX_BYTES_OF_BODY // 2**20} MiB (`RESOURCE_EXHAUSTED`) |",
    ):
        assert sentence in README
