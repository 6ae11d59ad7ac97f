"""`tinyconv bench lab-page`: how soon the lab page is there, and how smoothly it follows the pen; and its picture."""

import io
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import cos, sin
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tinyconv.errors import TinyconvError

from . import machine
from .chromium import chromium
from .measure import Measurement
from .process import with_checkout
from .race import Rounds, Say
from .report import Report, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from playwright.sync_api import Browser, Page

LAPTOP, PHONE = (1280, 800), (390, 844)
SEVEN = ((0.22, 0.22), (0.5, 0.21), (0.76, 0.22), (0.6, 0.52), (0.47, 0.82))  # on the pad, from (0, 0) to (1, 1)
PATIENCE = 120_000  # milliseconds for anything that the page should do
DPI = 150  # of saved pictures
# The page renews this text with each picture that it shows; each entry is a time in milliseconds.
WATCH = """() => {
  window.times = [];
  const watch = new MutationObserver(() => times.push(performance.now()));
  watch.observe(document.getElementById("speed"), { childList: true });
}"""
SUMMARY = (
    "*Open* is the time from starting Python for `tinyconv lab open` until the page has been answered; the very first "
    "start, whose network still has to learn, is told apart. *Pictures a second* is how often all maps and "
    "probabilities are computed, sent and shown anew while the pen moves all the time, in a headless Chromium that "
    "shares {threads} with the lab; the screen shows at most 60. Medians of {rounds} rounds, ± half the distance from "
    "the lowest to the highest; a round of drawing takes {seconds:g} seconds, and the longest pause is that of all."
)


def run(rounds: Rounds, *, say: Say) -> Report:
    """Open the lab again and again, and draw; raises StateError where there is no Chromium."""
    described = machine.describe()
    drawn: dict[str, list[list[float]]] = {}
    opened: list[float] = []
    with chromium() as browser, TemporaryDirectory() as cache:
        described["versions"]["chromium"] = browser.version
        say("opening the lab for the first time")
        with _lab(cache) as (address, first):
            page = _open(browser, address, LAPTOP)
            say("the network learns")
            page.get_by_text("A network that has learnt digits").wait_for()
            say("taking the picture")
            _stroke(page)
            picture = page.screenshot()
            for number in range(rounds.rounds):
                say(f"drawing, round {number + 1} of {rounds.rounds}")
                drawn.setdefault("drawing at 1280×800", []).append(_draw(page, rounds.seconds))
            page.click("#train")
            for _ in range(rounds.rounds):
                say("drawing while the network trains")
                drawn.setdefault("the same while it trains", []).append(_draw(page, rounds.seconds))
            page.click("#end")
            page.close()
            page = _open(browser, address, PHONE)
            for _ in range(rounds.rounds):
                say("drawing on a small screen")
                drawn.setdefault("drawing at 390×844", []).append(_draw(page, rounds.seconds))
        for number in range(rounds.rounds):
            say(f"opening the lab again, {number + 1} of {rounds.rounds}")
            with _lab(cache) as (_, seconds):
                opened.append(seconds)
    return _report(rounds, described, first, Measurement(tuple(opened)), drawn, picture)


@contextmanager
def _lab(cache: str) -> Iterator[tuple[str, float]]:
    """A running lab with what it has kept in `cache`: its address, and the seconds until its page was answered."""
    begin = perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tinyconv", "lab", "open", "--no-browser", "--port", "0"],
        env=with_checkout(os.environ | {"TINYCONV_CACHE": cache, "PYTHONUNBUFFERED": "1"}), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"http://\S+", said)
        if address is None:
            raise TinyconvError(f"The lab did not open: {said}{process.stdout.read()}")
        with urllib.request.urlopen(address[0], timeout=PATIENCE / 1000) as answer:
            answer.read()
        yield address[0], perf_counter() - begin
    finally:
        process.terminate()
        process.communicate()


def _open(browser: "Browser", address: str, size: tuple[int, int]) -> "Page":
    """The page, with the network on it."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#network .map")
    page.evaluate(WATCH)
    return page


def _stroke(page: "Page") -> None:
    """Draw a seven, and wait until it is on all maps."""
    page.click("#clear")
    box = _pad(page)
    for index, (x, y) in enumerate(SEVEN):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if index == 0:
            page.mouse.down()
    page.mouse.up()
    page.mouse.move(0, 0)
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_timeout(500)
    page.wait_for_selector("#network[aria-busy=false]")


def _draw(page: "Page", seconds: float) -> list[float]:
    """Draw round and round; returns the milliseconds between pictures."""
    page.click("#clear")
    box = _pad(page)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.evaluate("() => { times.length = 0; }")
    begin = perf_counter()
    while (now := perf_counter() - begin) < seconds:
        radius = box["width"] * (0.1 + 0.3 * now / seconds)
        page.mouse.move(middle[0] + radius * cos(6 * now), middle[1] + radius * sin(6 * now))
    times = page.evaluate("() => times")
    page.mouse.up()
    return [later - earlier for earlier, later in pairwise(times)]


def _pad(page: "Page") -> Any:
    """Where the drawing pad is."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    return box


def _report(
    rounds: Rounds, described: dict[str, Any], first: float, opened: Measurement, drawn: dict[str, list[list[float]]],
    picture: bytes,
) -> Report:
    speeds = {
        name: Measurement(tuple(1000 * len(pauses) / sum(pauses) for pauses in turns)) for name, turns in drawn.items()
    }
    longest = {name: max(max(pauses) for pauses in turns) for name, turns in drawn.items()}
    return Report(
        name="lab_page", title="The lab page", machine=described, settings=rounds.as_json(),
        summary=SUMMARY.format(rounds=rounds.rounds, threads=rounds.threads_text, seconds=rounds.seconds),
        results={
            "first_open_seconds": first, "open_seconds": opened.as_json(),
            "pictures_per_second": {name: speed.as_json() for name, speed in speeds.items()},
            "longest_pause_milliseconds": longest,
        },
        tables=[
            Table(
                ["", "pictures a second", "longest pause, ms"],
                [
                    [name, f"{speed.median:.0f} ±{speed.spread:.0%}", f"{longest[name]:.0f}"]
                    for name, speed in speeds.items()
                ],
            ),
            Table(
                ["open", "seconds"],
                [["first start", f"{first:.2f}"], ["later starts", f"{opened.median:.2f} ±{opened.spread:.0%}"]],
            ),
        ],
        figure=_figure(picture),
    )


def _figure(picture: bytes) -> "Figure":
    """A screenshot as a figure of as many pixels."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(picture), format="png")
    height, width = pixels.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(pixels)
    return figure
