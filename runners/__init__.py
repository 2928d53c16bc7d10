"""Runs a repository's own tests where they can do no harm, and tells what happened."""
