"""`tinyconv lab open`: the address it prints, ports that are taken, and Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from urllib.error import HTTPError

import pytest
from typer.testing import CliRunner

from tinyconv.cli.app import app
from tinyconv.cli.sources import model_file
from tinyconv.models import load_model
from tinyconv.web import network
from tinyconv.web.bench import Bench
from tinyconv.web.view import View

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
connect = pytest.importorskip("websockets.sync.client").connect


@pytest.fixture
def opened(trained, tmp_path):
    """Starts the command, and ends it after the test; returns the process and the lines it has printed so far."""
    processes = []

    def run(*options):
        command = [sys.executable, "-m", "tinyconv", "lab", "open", "--no-browser", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        processes.append(process)
        lines = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        return process, "".join(lines)

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@contextmanager
def hangup(handler):
    """What processes that begin now do on SIGHUP, whatever the tests themselves were started to do."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def run_cli(*arguments):
    result = CliRunner().invoke(app, ["lab", "open", "--no-browser", *arguments])
    return result.exit_code, result.output


def test_it_opens_and_closes(opened):
    process, said = opened()
    address = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
    with urllib.request.urlopen(address, timeout=60) as page:
        assert b"tinyconv" in page.read()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert rest == ""  # nothing was changed, so nothing is kept; no warnings


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_does_not_lose_the_network(opened, name):
    with hangup(signal.SIG_DFL):
        process, said = opened()
    port = re.search(r":(\d+)/", said)[1]
    with connect(f"ws://127.0.0.1:{port}/bench", open_timeout=60) as page:
        page.send(json.dumps({"do": "edit", "layer": 0, "channel": 0, "filter": 0, "values": [[0.25] * 5] * 5}))
        while '"edited": true' not in str(page.recv(timeout=60)):
            page.send('{"do": "seen"}')
        process.send_signal(getattr(signal, name))
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    kept = load_model(network.last_file()).layers[0].kernel.value
    assert (kept[:, :, 0, 0] == 0.25).all()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
def test_nohup_keeps_the_lab_open(opened):
    with hangup(signal.SIG_IGN):
        process, said = opened()
    process.send_signal(signal.SIGHUP)
    with urllib.request.urlopen(re.search(r"http://127\.0\.0\.1:\d+/", said)[0], timeout=60) as page:
        assert page.status == 200
    assert process.poll() is None


def test_a_run_of_the_default_network_is_opened_and_trains(opened, few_digits, tmp_path, monkeypatch, until):
    """Its optimizer was saved with a schedule, made for the steps of that run only."""
    monkeypatch.chdir(tmp_path)
    trained = CliRunner().invoke(app, ["train", "--backend", "numpy", "--epochs", "1", "--limit-steps", "2"])
    assert trained.exit_code == 0, trained.output
    run = tmp_path / "runs" / "two_conv_cnn-digits-1"
    for name in (run, run / "model.safetensors"):
        opened("--model", str(name))
    bench = Bench(model_file=model_file(run))
    assert View(bench).messages()
    assert bench.model.optimizer.learning_rate == network.LEARNING_RATE
    until(lambda: bench.data is not None)
    bench.submit(bench.train, 2, 0.001).result(60)
    until(lambda: bench.status == "idle")
    assert (bench.notice, bench.model.epochs_seen) == ((0, ""), 3)
    bench.close()


def test_two_labs_get_two_ports(opened):
    ports = {re.search(r"http://127\.0\.0\.1:(\d+)/", opened()[1])[1] for _ in range(2)}
    assert len(ports) == 2


def test_another_host_asks_for_a_token(opened):
    _, said = opened("--host", "0.0.0.0", "--port", "0")
    port, token = re.search(r":(\d+)/\?token=(\S+)", said).groups()
    assert len(token) >= 20
    with pytest.raises(HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)


def test_a_port_that_is_taken(trained):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, output = run_cli("--port", str(port))
    assert code == 2
    assert output == f"tinyconv: Port {port} is taken: choose another one, or leave out --port.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "203.0.113.7"), "203.0.113.7 is not an address of this machine."),
        (("--backend", "abacus"), "There is no backend 'abacus' in the lab"),
        (("--model", "nothing.safetensors"), "There is no model nothing.safetensors."),
        (("--model", "lenet5"), "lenet5 is not trained yet"),
        (("--port", "70000"), "65535"),
    ],
)
def test_options_that_make_no_sense(trained, arguments, words):
    code, output = run_cli(*arguments)
    assert code == 2
    assert words in output
    assert "Traceback" not in output


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinyconv.web.serve", None)
    monkeypatch.delitem(sys.modules, "uvicorn", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "tinyconv.web.serve")
    code, output = run_cli()
    assert code == 2
    assert output == 'tinyconv: The lab page needs uvicorn: pip install "tinyconv[lab]".\n'
