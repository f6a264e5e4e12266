"""Attacks on what the project promises; `make reliability` runs them and writes docs/reliability.md."""
