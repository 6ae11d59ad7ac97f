"""The lab as a browser meets it, through the real server: pages, pictures, nonsense, tokens, two at once."""

import json
import re
from contextlib import suppress

import numpy as np
import pytest

from tinyconv.models import load_model
from tinyconv.web import server
from tinyconv.web.server import PAGE

websockets = pytest.importorskip("websockets")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

INK = np.random.default_rng(2).integers(0, 256, 784, np.uint8)


def test_the_page_and_everything_it_names(lab):
    status, html = lab.get("/")
    assert status == 200
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', html)) - {"network.safetensors"}
    for script in PAGE.glob("*.js"):
        named |= set(re.findall(r'from "\./([^"]+)"', script.read_text()))
    assert {"main.js", "style.css", "probe.js"} <= named
    for name in named:
        assert lab.get(f"/{name}")[0] == 200, name
    assert lab.get("/no-such-page")[0] == 404
    assert lab.get("/../server.py")[0] == 404


def test_nothing_is_loaded_from_elsewhere():
    for file in PAGE.iterdir():
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file  # the name of a language, not an address to load


def test_a_drawing_gets_a_picture(lab):
    with lab.connect() as page:
        page.wait_for("picture")
        assert [layer["class"] for layer in page.seen["network"]["layers"]][:3] == ["Conv2D", "ReLU", "MaxPooling2D"]
        assert page.seen["state"]["status"] == "idle"
        page.draw(INK, number=41)
        picture = page.wait_for("picture", lambda picture: picture["serial"] == 41)
        np.testing.assert_allclose(picture["arrays"]["input"].reshape(-1), INK / 255, atol=0.005)
        assert sum(picture["probabilities"]) == pytest.approx(1, abs=1e-3)


def test_the_latest_drawing_wins(lab):
    with lab.connect() as page:
        for number in range(1, 301):
            page.draw(np.roll(INK, number), number)
        answered = []
        while not answered or answered[-1] != 300:
            answered.append(page.wait_for("picture")["serial"])
        assert answered == sorted(answered)
        assert len(answered) < 300


def test_a_page_that_paints_slowly_gets_no_queue_of_news(lab, monkeypatch, until):
    """While a picture is not painted yet, a training sends nothing more; a page that never says so is not forgotten."""
    monkeypatch.setattr(server, "PATIENCE", 60.0)
    with lab.connect() as page:
        page.wait_for("picture")
        page.say(do="train", epochs=1000, learning_rate=0.001)
        page.wait_for("state", lambda state: state["status"] == "running")
        for _ in range(server.AHEAD):
            while not isinstance(page.socket.recv(timeout=20), bytes):
                pass  # up to a picture, which is not answered
        steps = lab.bench.model.optimizer.iterations
        until(lambda: lab.bench.model.optimizer.iterations > steps + 50)
        with suppress(TimeoutError):
            for _ in range(10):
                assert not isinstance(page.socket.recv(timeout=0.5), bytes)
        page.say(do="seen")
        page.wait_for("picture")
        monkeypatch.setattr(server, "PATIENCE", 0.1)
        for _ in range(3):
            while not isinstance(page.socket.recv(timeout=20), bytes):
                pass


def test_a_number_is_explained_as_long_as_it_is_asked_for(lab):
    with lab.connect() as page:
        page.draw(INK)
        page.say(do="ask", layer=0, place=[3, 4, 2])
        first = page.wait_for("probe")["explained"]
        kernel = lab.bench.model.layers[0].kernel.value[..., 2]
        window = INK.reshape(28, 28)[3:8, 4:9] / 255
        assert first["value"] == pytest.approx((window * kernel[:, :, 0]).sum(), rel=1e-4)
        assert first["adds_up"]
        page.draw(np.zeros(784, np.uint8), 2)
        assert page.wait_for("probe")["explained"]["value"] == 0
        page.say(do="show", backwards=True, target=3)
        picture = page.wait_for("picture", lambda picture: picture["of"] == "gradients")
        assert picture["target"] == 3
        assert picture["loss"] > 0
        backwards = page.wait_for("probe")["explained"]
        assert np.shape(backwards["kernel_gradient"]) == (5, 5, 1)


def test_edit_train_pause_and_what_the_page_hears(lab):
    with lab.connect() as page:
        page.say(do="edit", layer=0, channel=0, filter=1, values=[[0.5] * 5] * 5)
        picture = page.wait_for("picture", lambda picture: np.ptp(picture["arrays"]["kernel/0"][1]) < 1e-9)
        assert picture["arrays"]["kernel/0"][1] == pytest.approx(0.5, abs=0.01)
        assert page.seen["state"]["edited"]
        page.say(do="train", epochs=1000, learning_rate=0.01)
        page.wait_for("state", lambda state: state["status"] == "running")
        page.wait_for("curves", lambda news: news["points"])
        page.wait_for("mistakes")
        page.say(do="pause")
        state = page.wait_for("state", lambda state: state["status"] == "paused")
        assert state["training"]["epochs"] == 1000
        page.say(do="learning_rate", value=0.5)
        page.wait_for("state", lambda state: state["learning_rate"] == 0.5)
        page.say(do="resume")
        page.wait_for("state", lambda state: state["status"] == "running")
        page.say(do="end")
        page.wait_for("state", lambda state: state["status"] == "idle")


def test_the_browser_goes_away_and_the_training_goes_on(lab, until):
    with lab.connect() as page:
        page.say(do="train", epochs=1000, learning_rate=0.001)
        page.wait_for("state", lambda state: state["status"] == "running")
    until(lambda: lab.bench.pages == 0)
    epochs = lab.bench.model.epochs_seen
    until(lambda: lab.bench.model.epochs_seen > epochs + 1)
    with lab.connect() as page:  # and whoever comes back is told all
        news = page.wait_for("curves")
        assert news["begin"] == 0
        assert news["points"][0]["epoch"] <= 1
        assert page.seen["state"]["status"] == "running"


def test_two_pages_share_the_network_and_not_the_drawing(lab):
    with lab.connect() as first, lab.connect() as second:
        first.wait_for("state", lambda state: state["pages"] == 2)
        first.draw(INK, 7)
        second.draw(255 - INK, 8)
        one = first.wait_for("picture", lambda picture: picture["serial"] == 7)
        two = second.wait_for("picture", lambda picture: picture["serial"] == 8)
        assert np.abs(one["arrays"]["input"] - two["arrays"]["input"]).max() > 0.5
        first.say(do="edit", layer=0, channel=0, filter=0, values=[[0.0] * 5] * 5)
        seen = second.wait_for("picture", lambda picture: not picture["arrays"]["kernel/0"][0].any())
        assert seen["serial"] == 8


NONSENSE = [
    ("", "not JSON"),
    ("hello", "not JSON"),
    ("[" * 10_000, "not JSON"),
    ("[1, 2]", "JSON object"),
    ("{}", "JSON object"),
    ('{"do": 3}', "JSON object"),
    ('{"do": "pawse"}', "Did you mean 'pause'"),
    ('{"do": "ask"}', "place"),
    ('{"do": "ask", "layer": 0, "place": [0, 0, 99]}', "none at"),
    ('{"do": "ask", "layer": 0, "place": [0]}', "none at"),
    ('{"do": "ask", "layer": 99, "place": [0, 0, 0]}', "layers 0 to 8"),
    ('{"do": "ask", "layer": -1, "place": [0, 0, 0]}', "layer must be"),
    ('{"do": "ask", "layer": 1e999, "place": [0, 0, 0]}', "layer must be"),
    ('{"do": "ask", "layer": 0, "place": [0.5, 0, 0]}', "place must be"),
    (f'{{"do": "ask", "layer": 0, "place": [{"9" * 400}, 0, 0]}}', "too large"),
    ('{"do": "ask", "layer": 0, "place": {"a": 1}}', "place must be"),
    ('{"do": "show", "target": 10}', "target"),
    ('{"do": "show", "target": "seven"}', "target"),
    ('{"do": "edit", "layer": 0, "channel": 0, "filter": 0, "values": "much"}', "5 rows of 5"),
    ('{"do": "edit", "layer": 0, "channel": 0, "filter": 0, "values": [[NaN]]}', "5 rows of 5"),
    ('{"do": "edit"}', "layer must be"),
    ('{"do": "train", "epochs": 0, "learning_rate": 0.1}', "epochs"),
    ('{"do": "train", "epochs": 1e9, "learning_rate": 0.1}', "epochs"),
    ('{"do": "train", "epochs": 1, "learning_rate": "fast"}', "learning rate"),
    ('{"do": "train", "epochs": 1, "learning_rate": NaN}', "learning rate"),
    ('{"do": "learning_rate", "value": -1}', "learning rate"),
    ('{"do": "learning_rate", "value": 1e-320}', "learning rate must be a number of at least 1e-06"),
    ('{"do": "backend", "name": "abacus"}', "abacus"),
    ('{"do": "backend", "name": ["numpy"]}', "no backend"),
    ('{"do": "pause"}', "no training"),
    (b"", "784"),
    (b"\0" * 784, "784"),
    (b"\0" * 100_000, "784"),
    ('{"do": "' + "x" * 50_000 + '"}', "16384 characters"),
]


def test_nonsense_gets_a_sentence_and_nothing_dies(lab):
    with lab.connect() as page:
        page.wait_for("picture")
        for message, words in NONSENSE:
            page.socket.send(message)
            sentence = page.wait_for("problem")["sentence"]
            assert words in sentence, message[:60]
            assert len(sentence) <= 400
        page.draw(INK, 3)
        page.wait_for("picture", lambda picture: picture["serial"] == 3)


def test_a_huge_message_closes_its_own_connection_only(lab):
    with lab.connect() as first, lab.connect() as second:
        first.socket.send(b"\0" * 3_000_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            first.wait_for("nothing that ever comes", seconds=30)
        assert closed.value.rcvd.code == 1009
        second.draw(INK, 5)
        second.wait_for("picture", lambda picture: picture["serial"] == 5)


def test_a_mistake_of_ours_is_told(lab, monkeypatch, caplog):
    from tinyconv.web.view import View

    with lab.connect() as page:
        page.wait_for("picture")
        with monkeypatch.context() as broken:
            broken.setattr(View, "messages", lambda self: 1 / 0)
            page.draw(INK, 5)
            assert "ZeroDivisionError" in page.wait_for("problem")["sentence"]
        page.draw(INK, 6)
        page.wait_for("picture", lambda picture: picture["serial"] == 6)


def test_an_example_is_one_of_the_test_digits(lab, few_digits):
    with lab.connect() as page:
        page.say(do="example")
        example = page.wait_for("example")
        assert example["label"] in few_digits.y_test


def test_the_network_can_be_downloaded(lab, tmp_path):
    import urllib.request

    path = tmp_path / "network.safetensors"
    urllib.request.urlretrieve(f"http://127.0.0.1:{lab.port}/network.safetensors", path)
    same = load_model(path)
    for mine, theirs in zip(lab.bench.model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# -- who may come in --------------------------------------------------------------------------------------------------


def test_another_name_or_page_is_refused(lab):
    """A page whose own name leads to this machine has that name in Host; another page has its own in Origin."""
    assert lab.get("/", Host="evil.example")[0] == 403
    assert lab.get("/", Host=f"127.0.0.1.evil.example:{lab.port}")[0] == 403
    assert lab.get("/", Origin="http://evil.example")[0] == 403
    assert lab.get("/", Host=f"localhost:{lab.port}")[0] == 200
    for strange in ({"name": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        with pytest.raises(websockets.InvalidStatus, match="403"), lab.connect(**strange):
            pass
    with lab.connect(Origin=f"http://127.0.0.1:{lab.port}") as page:
        page.wait_for("picture")


@pytest.fixture
def guarded(bench, lab):
    """The same bench, behind a token; `lab` is there so that the bench is closed once only."""
    return type(lab)(bench, token="open-sesame")


def test_a_token_is_asked_for_everywhere(guarded):
    try:
        for path in ("/", "/main.js", "/network.safetensors", "/?token=wrong", "/?token="):
            status, text = guarded.get(path)
            assert status == 403, path
            assert "token" in text
        for path in ("/bench", "/bench?token=wrong"):
            with pytest.raises(websockets.InvalidStatus, match="403"), guarded.connect(path):
                pass
        cookie = {"Cookie": f"tinyconv-lab-{guarded.port}=open-sesame"}
        assert guarded.get("/?token=open-sesame", **cookie)[0] == 200  # through the redirection
        assert guarded.get("/main.js", **cookie, Host="lab-machine:8421")[0] == 200
        assert guarded.get("/main.js", **cookie, Origin="http://evil.example")[0] == 403
        assert guarded.get("/main.js", Cookie=f"tinyconv-lab-{guarded.port}=wrong")[0] == 403
        foreign = {**cookie, "Origin": "http://evil.example"}
        with pytest.raises(websockets.InvalidStatus, match="403"), guarded.connect(**foreign):
            pass
        with guarded.connect(**cookie) as page:
            page.wait_for("picture")
        with guarded.connect("/bench?token=open-sesame") as page:
            page.wait_for("picture")
    finally:
        guarded.close()


def test_the_token_becomes_a_cookie_that_scripts_cannot_read(guarded):
    import http.client

    try:
        connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=20)
        connection.request("GET", "/?token=open-sesame")
        answer = connection.getresponse()
        cookie = answer.getheader("Set-Cookie").lower()
        assert (answer.status, answer.getheader("Location")) == (303, "/")
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        connection.close()
    finally:
        guarded.close()


def test_messages_are_json(lab):
    """NaN and infinity are none of JSON's words, and browsers refuse them."""
    with lab.connect() as page:
        page.say(do="ask", layer=2, place=[0, 0, 0])
        page.wait_for("probe")
        for message in page.seen.values():
            json.dumps({key: value for key, value in message.items() if key != "arrays"}, allow_nan=False)
