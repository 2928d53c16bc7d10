"""The GitHub Actions entry point."""
