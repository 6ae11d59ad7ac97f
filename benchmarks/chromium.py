"""Chromium without a window, through Playwright: what the lab page is measured and tested in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tinyconv.errors import StateError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")  # of the system's own, on the path
# Whoever measures or tests may be root, in a container without a GPU and with little shared memory; and the one page
# that is opened is ours.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser that is open as long as the block lasts: the system's or, where there is none, Playwright's.

    Raises StateError, with what to install, when Playwright or a browser is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as problem:
        raise StateError('The lab page is opened through Playwright: pip install "tinyconv[browser]".') from problem
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as engines:
        if installed is None and not Path(engines.chromium.executable_path).exists():
            raise StateError("There is no Chromium here: install the system's, or run `playwright install chromium`.")
        browser = engines.chromium.launch(executable_path=installed, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()
