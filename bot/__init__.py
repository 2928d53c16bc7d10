"""egcfg-fix: finds failing pytest tests and repairs the functions to blame with execution-guided decoding."""

__version__ = "0.1.0"
