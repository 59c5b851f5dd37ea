from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llm.standin import scenario
from llm.standin.server import StandIn

HELLO = '[usage]\ninput_tokens = 7\noutput_tokens = 3\n[[step]]\nthinking = "Hm."\ntext = "Hello."\n'
TOOLS = [{"name": "Bash"}]


def ask(**body: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": TOOLS, **body}


def standin(text: str, name: str = "test") -> StandIn:
    return StandIn(scenario.parse(text, name=name))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


def test_answer_says_that_it_is_scripted_and_carries_the_numbers(client: httpx.Client) -> None:
    with standin(HELLO) as server:
        answer = client.post(f"{server.url}/v1/messages?beta=true", json=ask()).json()
    assert answer["model"] == "scripted-stand-in"
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (7, 3)


def test_stream_ends_with_message_stop(client: httpx.Client) -> None:
    with standin(HELLO) as server:
        answer = client.post(f"{server.url}/v1/messages", json=ask(stream=True))
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert answer.headers["content-type"] == "text/event-stream"


def test_tool_calls_of_one_answer_have_ids_of_their_own_and_know_the_directory(client: httpx.Client) -> None:
    call = '[[step.tool]]\nname = "Bash"\ninput = {command = "ls {cwd}", deep = [{at = "{cwd}/a"}]}\n'
    system = [{"type": "text", "text": "Primary working directory: /srv/w"}]
    with standin(f"[[step]]\n{call}{call}") as server:
        answer = client.post(f"{server.url}/v1/messages", json=ask(system=system)).json()
    assert answer["content"][0]["input"] == {"command": "ls /srv/w", "deep": [{"at": "/srv/w/a"}]}
    assert len({block["id"] for block in answer["content"]}) == 2
    assert answer["stop_reason"] == "tool_use"


def test_unknown_directory_is_said_not_guessed(client: httpx.Client) -> None:
    with standin('[[step]]\n[[step.tool]]\nname = "Read"\ninput.file_path = "{cwd}/a"') as server:
        answer = client.post(f"{server.url}/v1/messages", json=ask())
    assert answer.status_code == 400
    assert "{cwd}" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_fault_answers_with_its_status_as_often_as_it_says(client: httpx.Client, stream: bool) -> None:
    script = '[[step]]\nfault = "rate_limit_error"\nretry_after_s = 5\ntimes = 2\n[[step]]\ntext = "ok"'
    with standin(script) as server:
        answers = [client.post(f"{server.url}/v1/messages", json=ask(stream=stream)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 200, 200]
    assert answers[0].headers["retry-after"] == "5"
    assert answers[0].json()["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["drop", "drop_mid_stream"])
def test_dropped_connection_breaks_both_variants(client: httpx.Client, fault: str, stream: bool) -> None:
    with standin(f'[[step]]\nfault = "{fault}"') as server, pytest.raises(httpx.TransportError):
        client.post(f"{server.url}/v1/messages", json=ask(stream=stream))


def test_words_before_a_mid_stream_break_are_sent(client: httpx.Client) -> None:
    got = b""
    script = '[[step]]\nfault = "error_mid_stream"\ntext = "Half a thou"'
    with standin(script) as server, client.stream("POST", f"{server.url}/v1/messages", json=ask(stream=True)) as answer:
        for piece in answer.iter_bytes():
            got += piece
    assert b"Half a thou" in got
    assert b"event: error" in got
    assert b"message_stop" not in got


@pytest.mark.parametrize("fault", ["malformed", "html"])
@pytest.mark.parametrize("stream", [True, False])
def test_nonsense_is_served_with_status_200(client: httpx.Client, fault: str, stream: bool) -> None:
    with standin(f'[[step]]\nfault = "{fault}"') as server:
        answer = client.post(f"{server.url}/v1/messages", json=ask(stream=stream))
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(answer.text)


@pytest.mark.parametrize("fault", ["silence", "silence_after_headers", "silence_mid_stream"])
def test_silence_ends_when_the_standin_stops(client: httpx.Client, fault: str) -> None:
    ended = threading.Event()

    def listen() -> None:
        with pytest.raises(httpx.TransportError):
            client.post(f"{server.url}/v1/messages", json=ask(stream=True))
        ended.set()

    server = standin(f'[[step]]\nfault = "{fault}"').start()
    thread = threading.Thread(target=listen)
    thread.start()
    until(lambda: bool(server.requests))
    server.stop()
    thread.join(60)
    assert ended.is_set()


def test_requests_without_tools_and_counts_take_no_step(client: httpx.Client) -> None:
    with standin('[[step]]\nfault = "api_error"\ntimes = 1\n[[step]]\ntext = "ok"') as server:
        assert client.post(f"{server.url}/v1/messages", json=ask(tools=[])).status_code == 200
        count = client.post(f"{server.url}/v1/messages/count_tokens", json=ask()).json()
        assert client.head(server.url).status_code == 200
        assert client.post(f"{server.url}/v1/messages", json=ask()).status_code == 500
    assert count["input_tokens"] > 0


def test_path_picks_the_scenario(client: httpx.Client) -> None:
    scripts = [scenario.parse(f'[[step]]\ntext = "{name}"', name=name) for name in ("one", "default")]
    with StandIn(scripts) as server:
        urls = [server.url_of("one"), server.url, f"{server.url}/s/none"]
        answers = [client.post(f"{url}/v1/messages", json=ask()) for url in urls]
    assert [answer.json()["content"][0]["text"] for answer in answers[:2]] == ["one", "default"]
    assert answers[2].status_code == 404
    assert "one, default" in answers[2].json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'"\xff"'])
def test_bad_body_is_refused(client: httpx.Client, body: bytes) -> None:
    with standin(HELLO) as server:
        assert client.post(f"{server.url}/v1/messages", content=body).status_code == 400


@pytest.mark.parametrize("messages", [None, [], ["text"], [{"role": "user", "content": 3}], 5])
def test_odd_messages_break_nothing(client: httpx.Client, messages: Any) -> None:
    with standin(HELLO) as server:
        answer = client.post(f"{server.url}/v1/messages", json=ask(messages=messages))
        assert answer.status_code in {200, 400}


def test_oversized_body_is_refused_unread() -> None:
    with standin(HELLO) as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=60)
        connection.putrequest("POST", "/v1/messages")
        connection.putheader("Content-Length", str(10**10))
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()


def test_client_that_goes_away_leaves_the_next_one_served(client: httpx.Client) -> None:
    with standin('[[step]]\nfault = "silence"\ntimes = 1\n[[step]]\ntext = "ok"') as server:
        raw = json.dumps(ask()).encode()
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as gone:
            gone.sendall(b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw))
            until(lambda: bool(server.requests))
        assert client.post(f"{server.url}/v1/messages", json=ask()).status_code == 200


def test_requests_are_recorded_and_their_repr_holds_no_key(client: httpx.Client) -> None:
    with standin(HELLO) as server:
        client.post(f"{server.url}/v1/messages", json=ask(), headers={"x-api-key": "hush"})
    assert server.requests[0].path == "/v1/messages"
    assert server.requests[0].headers["x-api-key"] == "hush"
    assert "hush" not in repr(server.requests)


def test_command_prints_its_url_logs_no_key_and_stops_on_sigterm(tmp_path: Path, client: httpx.Client) -> None:
    (tmp_path / "hello.toml").write_text(HELLO)
    process = command(tmp_path)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert client.post(f"{url}/v1/messages", json=ask(), headers={"Authorization": "Bearer hush"}).status_code == 200
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "hello: part 1 round 1 step 1\n")


def test_command_refuses_a_bad_file_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[[step]]")
    process = command(tmp_path / "bad.toml")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "bad.toml: step 1" in err


def command(path: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "llm.standin", str(path)],
        cwd=root,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
