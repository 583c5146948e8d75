"""python -m mxfp4.transformers serve and chat: an OpenAI-compatible server of a tiny model on the loopback address."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")

import mxfp4.transformers  # noqa: E402
import mxfp4.transformers.__main__ as command_line  # noqa: E402

TINY = Path(__file__).parent.parent / "data/models/tiny-gpt-oss/hf-mxfp4"
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


class Server:
    def __init__(self, model: Path, *options: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.model, self.url = str(model), f"http://127.0.0.1:{port}/v1/"
        command = [sys.executable, "-m", "mxfp4.transformers", "serve", self.model, "--host", "127.0.0.1", "--port", str(port)]
        self.process = subprocess.Popen([*command, "--device", "cpu", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def open(self, path: str, **body):
        data = json.dumps({"model": self.model, **body}).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=120)

    def post(self, path: str, **body) -> bytes:
        return self.open(path, **body).read()

    def wait(self) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url.replace("v1/", "health"), timeout=10)
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.3)
        self.process.kill()
        pytest.fail(self.process.communicate()[0])


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    model = tmp_path_factory.mktemp("serve") / "tiny"
    shutil.copytree(TINY, model)
    (model / "chat_template.jinja").write_text(TEMPLATE)
    return model


@pytest.fixture(scope="module")
def server(model: Path):
    server = Server(model)
    server.wait()
    yield server
    server.process.send_signal(signal.SIGINT)
    server.process.wait(30)


def test_completes_as_the_model_does(server):
    # What transformers generates greedily from this prompt, in F64, F32 and BF16.
    answer = json.loads(server.post("completions", prompt="+= x[i]", max_tokens=3))
    assert answer["choices"][0]["text"].startswith("ore s")


def test_chats_and_streams(server):
    messages = [{"role": "user", "content": "hi"}]
    whole = json.loads(server.post("chat/completions", messages=messages, max_tokens=6))["choices"][0]["message"]["content"]
    lines = server.post("chat/completions", messages=messages, max_tokens=6, stream=True).decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert len(events) > 2
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert len(text) >= 3 and whole.startswith(text)  # but for half a character at its end


def test_two_at_once_get_their_own_answers(server):
    def ask(prompt: str) -> str:
        return json.loads(server.post("completions", prompt=prompt, max_tokens=12))["choices"][0]["text"]

    prompts = ["+= x[i]", "of thirty-two"]
    alone = [ask(prompt) for prompt in prompts]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, prompts)) == alone


def test_serves_two_at_once(model: Path):
    """A short request begins and ends while a long one goes on: without the option transformers takes one by one."""
    server = Server(model, "--continuous-batching")
    server.wait()

    def stream(tokens: int):
        settings = json.dumps({"max_new_tokens": tokens, "do_sample": False, "eos_token_id": -1})
        messages = [{"role": "user", "content": "hi"}]
        return server.open("chat/completions", messages=messages, stream=True, generation_config=settings)

    try:
        with stream(500) as long:
            long.readline()
            with stream(4) as short:
                assert short.read().count(b"data: {") > 2
            still_to_come = [line for line in long if line.startswith(b"data: {")]
        assert len(still_to_come) > 20
    finally:
        server.process.kill()  # its batching thread does not hear of Ctrl-C
        server.process.wait(30)


def chat(*arguments, typed: str = "", **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mxfp4.transformers", "chat", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120, **kwargs)


def test_a_chat_is_a_talk_with_the_server(server, tmp_path):
    settings = {"generation_config": json.dumps({"max_new_tokens": 6, "do_sample": False})}
    answer = json.loads(server.post("chat/completions", messages=[{"role": "user", "content": "hi"}], **settings))
    typed = "hi\nn\n!status\n!exit\n"  # n: no more than six tokens
    done = chat(server.model, server.url[:-1], "max_new_tokens=6", "do_sample=False", typed=typed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    word = re.search(r"\w{4,}", answer["choices"][0]["message"]["content"])[0]  # bytes that are no text stand around it
    assert word in done.stdout and "6 tokens in" in done.stdout
    assert '"max_new_tokens": 6' in done.stdout


def said_at_the_end(*arguments: str, monkeypatch) -> str:
    """What `python -m mxfp4.transformers` says when it ends with an error; without a process, which would import all again."""
    monkeypatch.setattr(sys, "argv", ["mxfp4.transformers", *arguments])
    try:
        with pytest.raises(SystemExit) as end:
            command_line.main()
    finally:
        mxfp4.transformers.disable()
    return str(end.value)


def test_a_chat_without_a_server_says_how_to_start_one(monkeypatch):
    def no_server(url):  # whatever listens on port 8000 here
        raise ValueError(f"No server currently running on {url}. To run a local server, please run `transformers serve`")

    monkeypatch.setattr("transformers.cli.chat.Chat.check_health", staticmethod(no_server))
    assert "python -m mxfp4.transformers serve" in said_at_the_end("chat", "model", monkeypatch=monkeypatch)


@pytest.mark.parametrize("arguments", [(), ("nothing",)])
def test_other_commands_are_told_what_there_is(arguments, monkeypatch):
    assert "{serve,chat}" in said_at_the_end(*arguments, monkeypatch=monkeypatch)
