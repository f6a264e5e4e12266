"""Tables as aligned text."""

import re
from collections.abc import Sequence

# Such as 9,185 and -0.5, also with a unit: 91.2%, 24 s.
NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?(%| s)?")


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows of cells as aligned text; the first row is the heading. Columns of numbers are right-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [_is_numeric(column[1:]) for column in columns]
    lines = [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [text for text in column if text]
    return bool(filled) and all(NUMBER.fullmatch(text) for text in filled)
