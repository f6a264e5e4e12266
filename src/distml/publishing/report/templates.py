"""The templates of the pages: jinja2 files beside this module."""

from pathlib import Path

import jinja2


def template(name: str) -> jinja2.Template:
    """Return a page's template, which escapes every value and fails on a name that its page does not pass."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
