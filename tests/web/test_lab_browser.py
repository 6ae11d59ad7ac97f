"""The lab page in a real browser, from the first start of all: it learns, reads a seven, is edited, trains, pauses.

Needs Playwright and a Chromium; at the sizes of a laptop and of a phone, and no step may leave an error in the console.
"""

import itertools
import json
import re
from contextlib import ExitStack

import numpy as np
import pytest

from tinyconv import layers, saving, zoo
from tinyconv.benchmarks.chromium import chromium
from tinyconv.errors import StateError
from tinyconv.models import Sequential
from tinyconv.web import network
from tinyconv.web.bench import Bench

playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
expect = playwright.expect

pytestmark = pytest.mark.slow

SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
PATIENCE = 60_000  # milliseconds; a busy machine is no failure
SEVEN = [[(0.22, 0.22), (0.75, 0.22), (0.45, 0.82)]]  # strokes on the pad, from (0, 0) to (1, 1)
ONE = [[(0.5, 0.15), (0.5, 0.85)]]
IS_ON_TOP = """element => {
    const box = element.getBoundingClientRect();
    return element.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
}"""

WATCH = """ids => {
    const moved = (last, next) => !last || Math.hypot(last[0] - next[0], last[1] - next[1]) > 0.5;
    window.places = ids.map((id) => [id, []]);
    const look = () => {
        for (const [id, places] of window.places) {
            const box = document.getElementById(id).getBoundingClientRect();
            const place = [box.x, box.y + scrollY];
            if (moved(places.at(-1), place)) places.push(place);
        }
        requestAnimationFrame(look);
    };
    look();
}"""  # notes where elements are on the page, frame by frame


@pytest.fixture(scope="module")
def browser():
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(chromium())
        except StateError as problem:
            pytest.skip(str(problem))
        yield opened


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, running_lab, until):
    """A lab that began with an empty cache: by the time it is used, it has taught itself the digits."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TINYCONV_CACHE", str(tmp_path_factory.mktemp("lab")))
        lab = running_lab(Bench())
        until(lambda: lab.bench.source == "trained", seconds=600)
        assert network.trained_file().exists()
        yield lab
        lab.close()


@pytest.fixture
def visit(browser, learnt, until):
    """Opens the page, connected, in a browser of its own each time: `visit("phone")`.

    Afterwards the training is over, the weights are as they were, and no console may have a word in it.
    """
    contexts, problems = [], []
    weights = learnt.bench.submit(learnt.bench.model.get_weights).result(60)
    expect.set_options(timeout=PATIENCE)

    def visit(size, lab=learnt):
        width, height = SIZES[size]
        touch = size == "phone"
        context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{lab.port}/")
        expect(page.locator("#network .map").first).to_be_visible()
        return page

    yield visit
    for context in contexts:
        context.close()
    learnt.bench.submit(learnt.bench.end_training).result(60)
    until(lambda: learnt.bench.status == "idle")
    learnt.bench.submit(lambda: learnt.bench.model.set_weights(weights)).result(60)
    until(lambda: learnt.bench.pages == 0)
    assert problems == []


@pytest.fixture(params=SIZES)
def page(request, visit):
    """The page, at either size."""
    return visit(request.param)


@pytest.fixture
def laptop(visit):
    """The page, on a laptop."""
    return visit("laptop")


def draw(page, strokes):
    """By finger on the phone, by mouse on the laptop."""
    page.click("#clear")
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    finger = page.context.new_cdp_session(page) if page.viewport_size["width"] < 500 else None
    for stroke in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in between(stroke)]
        if finger:
            kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
            for kind, (x, y) in zip(kinds, places, strict=True):
                finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
            finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        else:
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1:]:
                page.mouse.move(*place)
            page.mouse.up()
    settled(page)


def between(stroke, steps=8):
    """The corners of a stroke and places on the lines between them."""
    for (x, y), (to_x, to_y) in itertools.pairwise(stroke):
        for step in range(steps):
            yield x + (to_x - x) * step / steps, y + (to_y - y) * step / steps
    yield stroke[-1]


def reads(page, digit):
    expect(page.locator("#reading")).to_have_text(re.compile(rf"^It reads {digit},"))
    expect(page.locator(".bars .top")).to_have_attribute("data-map", str(digit))


def pixels(page, selector):
    """What a canvas shows, as a string that differs when the picture does."""
    return page.locator(selector).evaluate("canvas => canvas.toDataURL()")


def blank(page, side):
    """What `pixels` are of a canvas of `side` × `side` on which nothing was painted."""
    return page.evaluate(
        "side => Object.assign(document.createElement('canvas'), { width: side, height: side }).toDataURL()", side
    )


def changes(page, selector, before):
    """Wait until a canvas shows something else."""
    wait_for(page, lambda: pixels(page, selector) != before, f"{selector} has not changed")


def becomes(page, selector, picture):
    """Wait until a canvas shows that picture."""
    wait_for(page, lambda: pixels(page, selector) == picture, f"{selector} is not what it was")


def wait_for(page, condition, complaint):
    for _ in range(PATIENCE // 100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError(complaint)


def settled(page):
    """Wait until the maps are of the drawing as it is now: two frames later, none is on its way."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(page.locator("#network")).to_have_attribute("aria-busy", "false")


def test_it_reads_what_is_drawn(page):
    draw(page, SEVEN)
    reads(page, 7)
    draw(page, ONE)
    reads(page, 1)
    page.click("#clear")
    expect(page.locator("#pen")).to_have_text("The pad is empty.")


def test_pictures_come_while_drawing(page):
    """Every map changes before the stroke has ended, and no answer is for a drawing that is long gone."""
    draw(page, ONE)
    reads(page, 1)
    box = page.locator("#pad").bounding_box()
    before = pixels(page, "[data-layer='3'][data-map='5'] canvas")
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for step in range(20):
        page.mouse.move(box["x"] + (0.2 + 0.02 * step) * box["width"], box["y"] + 0.25 * box["height"])
    changes(page, "[data-layer='3'][data-map='5'] canvas", before)
    page.mouse.up()


def test_an_edited_kernel_changes_the_maps(page):
    draw(page, SEVEN)
    reads(page, 7)
    page.locator("[data-layer='0'][data-map='2']").click()
    expect(page.locator("#probe-title")).to_contain_text("conv2d, map 3")
    before = pixels(page, "[data-layer='2'][data-map='2'] canvas")
    page.get_by_role("button", name="nothing").click()
    changes(page, "[data-layer='2'][data-map='2'] canvas", before)
    expect(page.locator(".weight input[type=number]")).to_have_value("0")
    cell = page.locator(".grid button").nth(12)
    cell.focus()
    for _ in range(9):  # quicker than answers come
        cell.press("+")
    cell.press("-")
    expect(cell).to_have_text(".40")
    page.locator(".weight input[type=number]").fill("1.5")
    page.locator(".weight input[type=number]").press("Enter")
    expect(cell).to_have_text("1.5")
    expect(page.locator(".equation .result")).to_contain_text("✓")
    for nonsense in ("1000", "-1e30", ""):
        page.locator(".weight input[type=number]").fill(nonsense)
        page.locator(".weight input[type=number]").press("Enter")
        expect(page.locator("#problem")).to_contain_text("from −100 to 100")
        expect(page.locator(".weight input[type=number]")).to_have_value("1.5")
    expect(cell).to_have_text("1.5")
    page.get_by_role("button", name="undo edits").click()
    expect(page.locator("#undo")).to_be_disabled()
    becomes(page, "[data-layer='2'][data-map='2'] canvas", before)


def test_every_layer_explains_its_numbers(page):
    draw(page, SEVEN)
    reads(page, 7)
    for layer, words in enumerate(
        ("window × kernel", "max(in, 0)", "the largest", "all 6 channels", "max(in, 0)", "the largest", "of map",
         "speaks for 7", "÷ their sum")
    ):
        page.locator(f"[data-layer='{layer}']").nth(7 if layer > 6 else 0).click()
        expect(page.locator("#probe")).to_contain_text(words)
        expect(page.locator("#probe")).to_contain_text("✓")
        expect(page.locator("#probe")).not_to_contain_text("✗")


def test_pointing_explains_and_a_click_keeps_it(laptop):
    page = laptop
    draw(page, SEVEN)
    page.locator("[data-layer='2'][data-map='1']").click()
    expect(page.locator("#probe-title")).to_contain_text("max_pooling2d, map 2")
    page.locator("[data-layer='4'][data-map='3']").hover()
    expect(page.locator("#probe-title")).to_contain_text("re_lu_1, map 4")
    expect(page.locator("[data-layer='3'][data-map='3'] .window")).to_be_visible()  # where it came from
    page.mouse.move(5, 5)
    expect(page.locator("#probe-title")).to_contain_text("max_pooling2d, map 2")


def test_steps_forward_and_backward(page):
    draw(page, SEVEN)
    reads(page, 7)
    expect(page.locator("#step-text")).to_contain_text("Each map")
    page.click("#next")
    expect(page.locator("#step-text")).to_contain_text("28×28×1 → 24×24×6")
    expect(page.locator(".network .layer.dim")).to_have_count(8)
    for _ in range(8):
        page.click("#next")
    expect(page.locator("#step-text")).to_contain_text("9. softmax")
    expect(page.locator("#next")).to_be_disabled()
    page.click("#backward")
    page.select_option("#target", "2")
    expect(page.locator("#step-text")).to_contain_text("probability minus what it should be")
    page.click("#previous")
    expect(page.locator("#step-text")).to_contain_text("10 → 300")
    page.click("#all")
    expect(page.locator("#step-text")).to_contain_text("should be read as 2")
    expect(page.locator("#ink-gradient")).to_be_visible()
    page.click("#forward")
    expect(page.locator("#ink-gradient")).to_be_hidden()


def test_it_trains_pauses_and_goes_on(page, learnt):
    page.locator("[data-layer='0'][data-map='0']").click()
    kernel = pixels(page, "[data-layer='0'][data-map='0'] .kernel")
    page.click("#train")
    expect(page.locator("#train")).to_have_text("Pause")
    changes(page, "[data-layer='0'][data-map='0'] .kernel", kernel)
    expect(page.locator("#progress")).to_contain_text(re.compile(r"epoch \d+ of \d+, step \d+ of 215"))
    page.click("#train")
    expect(page.locator("#progress")).to_contain_text("paused")
    steps = learnt.bench.model.optimizer.iterations
    page.locator("#rate").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#rate-value")).not_to_have_text("0.002")
    draw(page, ONE)  # one can go on looking
    expect(page.locator("#reading")).to_contain_text("It reads")
    assert learnt.bench.model.optimizer.iterations == steps
    page.click("#train")
    expect(page.locator("#train")).to_have_text("Pause")
    page.reload()  # the page goes away, and the training goes on
    expect(page.locator("#train")).to_have_text("Pause")
    expect(page.locator("#loss-now")).to_contain_text("train")
    page.click("#end")
    expect(page.locator("#train")).to_have_text("Train")
    assert learnt.bench.model.optimizer.iterations > steps
    expect(page.locator("#mistakes li").first).to_contain_text("→")


def test_a_digit_by_keyboard_alone(page):
    page.locator("#pad").focus()
    page.keyboard.press("Delete")
    for key in ["ArrowUp"] * 4 + ["Space"] + ["ArrowDown"] * 19 + ["Space"]:
        page.keyboard.press(key)
    reads(page, 1)
    for _ in range(4):  # clear, a real digit, erase, the maps
        page.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(page.locator("#probe-title")).to_contain_text("max_pooling2d, map 2")
    focused = page.locator(":focus")
    expect(focused).to_have_attribute("data-layer", "2")
    assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_small_gradients_of_a_kernel_are_written_with_a_power_of_ten(laptop, learnt):
    """Each cell times the power in the caption is the gradient that the lab has sent, to two digits."""
    page = laptop
    sent = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(frame)))
    page.reload()
    expect(page.locator("#network .map").first).to_be_visible()
    draw(page, SEVEN)
    reads(page, 7)
    page.locator("[data-layer='0']").first.click()
    page.click("#backward")
    caption = page.locator("#probe .label", has_text="kernel’s gradient")
    expect(caption).to_contain_text("kernel’s gradient × 10⁻")
    settled(page)
    power = int(caption.text_content().partition("10⁻")[2].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
    explained = [json.loads(frame)["explained"] for frame in sent if '"kernel_gradient"' in str(frame)][-1]
    wanted = np.array(explained["kernel_gradient"])[:, :, 0].ravel()
    cells = caption.locator("..").locator(".grid span").all_text_contents()
    written = [float(cell.replace("−", "-")) * 10.0**-power for cell in cells]
    assert 1 <= abs(wanted).max() * 10.0**power < 10
    np.testing.assert_allclose(written, wanted, atol=0.0501 * 10.0**-power)
    assert len(set(cells)) > 5


def test_the_pad_in_focus_moves_nothing(laptop):
    page = laptop
    footer = page.locator("footer")
    before = footer.bounding_box()
    assert before["y"] + before["height"] <= page.viewport_size["height"]
    page.keyboard.press("Tab")
    page.locator("#pad").focus()
    expect(page.locator("#pen")).to_have_css("opacity", "1")
    assert footer.bounding_box() == before
    pen = page.locator("#pen").evaluate("element => [element.scrollWidth, element.clientWidth]")
    assert pen[0] <= pen[1]  # it fits on its line


def test_everything_has_a_name_and_fits(page):
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select, [tabindex='0'], [role]")]
        .filter((one) => !one.closest("[hidden]") && !one.getAttribute("aria-label") && !one.textContent.trim()
            && !one.labels?.length && !["status", "alert"].includes(one.getAttribute("role")))
        .map((one) => one.outerHTML.slice(0, 100))""")
    assert nameless == []
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width == page.viewport_size["width"]  # nothing to scroll sideways


def test_light_and_dark(page):
    colour = "() => getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light, ink = page.evaluate(colour), pixels(page, "#scale")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(colour)
    assert dark != light
    changes(page, "#scale", ink)
    page.click("#theme")  # the button overrules the system, also after the page is opened again
    assert page.evaluate(colour) == light
    page.reload()
    assert page.evaluate(colour) == light
    page.click("#theme")
    assert page.evaluate(colour) == dark


def test_the_backend_can_be_changed(laptop, learnt, until):
    page = laptop
    draw(page, SEVEN)
    reads(page, 7)
    page.select_option("#backend", "numba")
    until(lambda: learnt.bench.model.backend.name == "numba", seconds=300)
    draw(page, ONE)
    reads(page, 1)
    page.select_option("#backend", "numpy")
    until(lambda: learnt.bench.model.backend.name == "numpy")
    draw(page, SEVEN)
    reads(page, 7)


def test_a_network_of_your_own(visit, running_lab, few_digits, tmp_path):
    """Layers that the lab's own network has not; each step and each number of them is explained."""
    mine = Sequential([
        layers.Rescaling(2.0, -1.0, input_shape=network.IMAGE), layers.Conv2D(4, 5, activation="tanh"),
        layers.BatchNormalization(), layers.AveragePooling2D(), layers.Conv2D(40, 3), layers.Activation("sigmoid"),
        layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Reshape((40,)),
        layers.Dense(12, activation="relu"), layers.Dense(10, activation="softmax"),
    ])
    saving.save(mine, tmp_path / "mine.safetensors")
    lab = running_lab(Bench(model_file=tmp_path / "mine.safetensors"))
    try:
        page = visit("laptop", lab)
        expect(page.locator("#story")).to_contain_text("Your network.")
        draw(page, SEVEN)
        for direction in ("forward", "backward"):
            page.click(f"#{direction}")
            page.click("#all")
            for _ in mine.layers:
                page.click("#next" if direction == "forward" else "#previous")
                expect(page.locator("#step-text")).to_contain_text("Numbers" if direction == "forward" else "Gradients")
                expect(page.locator("#step-text")).not_to_contain_text("Passes its input on")
        for index, layer in enumerate(mine.layers):
            page.locator(f"[data-layer='{index}']").first.click()
            expect(page.locator("#probe-title")).to_contain_text(layer.name)
            expect(page.locator("#probe")).not_to_contain_text("✗")
        page.context.close()
    finally:
        lab.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_network_with_hundreds_of_maps(visit, running_lab, few_digits, tmp_path, size):
    """A few maps of each layer are shown, the others when they are asked for; what is read stays in sight."""
    saving.save(zoo.build("mnist_convnet", backend="numpy"), tmp_path / "wide.safetensors")
    lab = running_lab(Bench(model_file=tmp_path / "wide.safetensors"))
    try:
        page = visit(size, lab)
        width, height = SIZES[size]
        first, others = page.locator("[data-layer='0']"), page.get_by_role("button", name="52 more maps of conv2d")
        expect(first).to_have_count(12)
        draw(page, SEVEN)
        assert page.evaluate("document.documentElement.scrollHeight") <= (height if size == "laptop" else 4 * height)
        others.click()
        expect(first).to_have_count(64)
        for index in (59, 3):
            first.nth(index).click()
            expect(page.locator("#probe-title")).to_contain_text(f"conv2d, map {index + 1},")
            assert pixels(page, f"[data-layer='0'][data-map='{index}'] .face canvas") != blank(page, 26)
        first.nth(59).click()
        page.locator("[data-layer='1']").first.click()  # its window lies in a map of the layer before
        first.nth(59).click()
        if size == "laptop":
            for end in (10_000, 0):  # with the maps scrolled to the last and to the first
                page.evaluate(f"document.getElementById('network').scrollLeft = {end}")
                bars = page.locator(".bars").bounding_box()
                assert 0 <= bars["x"] <= bars["x"] + bars["width"] <= width
                assert 0 <= bars["y"] <= bars["y"] + bars["height"] <= height
                assert page.locator(".bars [data-map='7']").evaluate(IS_ON_TOP)
        page.get_by_role("button", name="the first 12 maps of conv2d only").click()
        expect(first).to_have_count(12)
        expect(page.locator("#probe-title")).to_contain_text("conv2d, map 60,")  # explained, though not shown
        page.locator("[data-layer='4']").click()  # a number of a map that is not shown
        expect(page.locator("#probe-title")).to_contain_text("flatten")
        page.context.close()
    finally:
        lab.close()


def test_two_pages_at_once(visit):
    """Each has a drawing of its own, and sees the other's edit."""
    one, other = visit("laptop"), visit("phone")
    expect(other.locator("#story")).to_contain_text("2 pages look at this network")
    draw(one, SEVEN)
    draw(other, ONE)
    reads(one, 7)
    reads(other, 1)
    map_, kernel = "[data-layer='0'][data-map='4'] .face canvas", "[data-layer='0'][data-map='4'] .kernel"
    before, kernel_before = pixels(other, map_), pixels(other, kernel)
    one.locator(f"{kernel}").click()
    one.get_by_role("button", name="blur").click()
    changes(other, kernel, kernel_before)
    changes(other, map_, before)
    one.close()
    expect(other.locator("#story")).not_to_contain_text("pages")
    draw(other, ONE)  # and goes on alone
    expect(other.locator("#reading")).to_contain_text("It reads")


def test_the_browser_goes_away_in_the_middle_of_a_training(visit, learnt, until):
    page = visit("laptop")
    page.click("#train")
    expect(page.locator("#progress")).to_contain_text("epoch")
    page.context.close()
    until(lambda: learnt.bench.pages == 0)
    steps = learnt.bench.model.optimizer.iterations
    until(lambda: learnt.bench.model.optimizer.iterations > steps + 20)
    assert learnt.bench.status == "running"
    again = visit("phone")  # whoever comes next finds it at work, with all that it has learnt on the curves
    expect(again.locator("#train")).to_have_text("Pause")
    expect(again.locator("#loss-now")).to_contain_text("train")
    again.click("#end")
    expect(again.locator("#train")).to_have_text("Train")


def test_buttons_stay_in_their_place_while_it_learns(page, learnt):
    """A finger that goes down on a button must come up on it, whatever the lab has told the page in between."""
    page.locator("#forget").scroll_into_view_if_needed()
    expect(page.locator("#train")).to_have_text("Train")
    page.evaluate(WATCH, ["train", "end", "forget", "rate", "loss", "mistakes"])
    epochs = learnt.bench.model.epochs_seen
    page.click("#train")
    wait_for(page, lambda: learnt.bench.model.epochs_seen > epochs, "no epoch has ended")
    page.click("#train")
    expect(page.locator("#train")).to_have_text("Go on")
    page.click("#end")
    expect(page.locator("#train")).to_have_text("Train")
    assert page.evaluate("() => [...window.places].filter(([, places]) => places.length > 1)") == []


def test_the_connection_comes_back(browser, running_lab, few_digits, trained, until):
    """The lab is closed under the page, which says so; another one at the same address is found without a reload."""
    lab = running_lab(Bench())
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{lab.port}/")
    expect(page.locator("#network .map").first).to_be_visible(timeout=PATIENCE)
    lab.close()
    expect(page.locator("#problem")).to_contain_text("does not answer", timeout=PATIENCE)
    again = running_lab(Bench(), port=lab.port)
    expect(page.locator("#problem")).to_be_hidden(timeout=PATIENCE)
    until(lambda: again.bench.pages == 1)
    page.close()
    again.close()
