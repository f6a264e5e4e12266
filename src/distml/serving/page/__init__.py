"""The page at `/` for a browser: its HTML, style and scripts, and the module that puts them together."""
