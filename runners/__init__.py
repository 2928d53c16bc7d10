"""Runs a repository's own tests where they can do no harm, and tells what happened."""

from runners.choose import open_runner

__all__ = ["open_runner"]
