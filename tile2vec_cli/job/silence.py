"""Libraries kept quiet: users can act on nothing that they warn of or log."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence() -> Iterator[None]:
    """Without the warnings and log lines of libraries, which would come between our own lines."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def silence_gdal() -> None:
    """Without what GDAL prints where rasterio doesn't hear it, as in its own threads, here and in children.

    Each GDAL of the process reads this when it first has something to say. A user who asks for a log gets it.
    """
    if {"CPL_LOG", "CPL_DEBUG"}.isdisjoint(os.environ):
        os.environ["CPL_LOG"] = os.devnull
