"""The documentation of the limits, compared with the table."""

import re

from distml.protocol import limits
from support.project import ROOT

DESIGN = (ROOT / "docs" / "design.md").read_text()
SERVING = " ".join((ROOT / "docs/serving.md").read_text().split())


def test_the_design_page_lists_each_limit_with_its_value_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) \|", DESIGN, re.MULTILINE)
    documented = {name: int(value.replace(",", "")) for name, value in rows}
    assert documented == {name: value for name, value in vars(limits).items() if name.isupper()}


def test_the_name_of_each_limit_contains_its_unit() -> None:
    units = "PIXELS|BYTES|MEMBERS|IMAGES|REQUESTS|SCANS|VALUES|SECONDS"
    names = [name for name in vars(limits) if name.isupper()]
    assert [name for name in names if not re.search(rf"(^|_)({units})(_|$)", name)] == []


def test_the_serving_page_quotes_the_limits_correctly() -> None:
    for sentence in (
        f"up to {limits.MAX_IMAGES_OF_REQUEST} images, an image file up to {limits.MAX_PIXELS_OF_IMAGE:,} pixels",
        f"| 408 | | the body did not arrive within {limits.SECONDS_FOR_BODY} seconds |",
        f"| 413 | `RESOURCE_EXHAUSTED` | the body is longer than {limits.MAX_BYTES_OF_BODY // 2**20} MiB |",
    ):
        assert sentence in SERVING
