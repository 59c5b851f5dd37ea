"""`python -m beebeebrain.demo [--once] [--fresh] [--port N]`: see the whole way, offline."""

from __future__ import annotations

import argparse
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from beebeebrain.demo import project, report
from beebeebrain.demo.api import Api
from beebeebrain.demo.home import Home
from beebeebrain.demo.story import Person, Story, is_over, say, wait
from beebeebrain.foreground import CODE, ServiceDied, Services, scheduler_command, web_command

FOLDER = CODE / ".local" / "demo"
# As the README calls it, from the folder of the clone.
_PYTHON = ".venv/bin/python"
SCENARIO = Path(__file__).with_name("scenario.toml")
ONCE_S = 170.0
FOR_EVER_S = 365 * 24 * 3600.0


def main(argv: list[str] | None = None) -> int:
    """Run the demo. Returns 0 when it was stopped by a person or, with `--once`, when all is done, merged and tested."""
    parser = argparse.ArgumentParser(prog="make demo", description="The whole way on a small project, offline.")
    parser.add_argument("--once", action="store_true", help="answer and approve by itself, end when all is merged")
    parser.add_argument("--fresh", action="store_true", help="throw an earlier demo away and begin anew")
    parser.add_argument("--port", type=int, help="port of the web on 127.0.0.1")
    parser.add_argument("--home", type=Path, default=FOLDER, help="folder of the demo")
    chosen = parser.parse_args(argv)
    home = Home(chosen.home.resolve())
    try:
        if chosen.fresh or (chosen.once and home.open().get("is_over")):
            home.clear()
        return _run(home, once=chosen.once, port=chosen.port)
    except (ServiceDied, TimeoutError) as error:
        say(f"{error} See {home.logs}.")
    except (FileExistsError, httpx.HTTPError, subprocess.CalledProcessError) as error:
        say(f"The demo could not go on: {error}")
    return 1


def _run(home: Home, *, once: bool, port: int | None) -> int:
    known = home.open()
    web, standin = port or _free_port(known.get("web", 8000)), _free_port(known.get("standin", 0))
    home.remember(web=web, standin=standin)
    environment = home.environment(f"http://127.0.0.1:{standin}")
    login, token = _initialise(environment)
    services = Services(environment)
    with services.running():
        services.start("stand-in", standin_command(standin), output=home.logs / "standin.log")
        services.start("web", web_command(web), output=home.logs / "web.log")
        services.wait_until_answering(f"http://127.0.0.1:{standin}/")
        services.wait_until_answering(f"http://127.0.0.1:{web}/healthz")
        with Api(f"http://127.0.0.1:{web}", token) as api:
            project_id = _ensure_project(api, home)
            story = Story(api)
            story.begin()
            # The agents end with the demo: without the stand-in they have nobody to talk to.
            services.start("scheduler", [*scheduler_command(), "--stop-agents"], output=home.logs / "scheduler.log")
            _greet(web, login, home, once=once)
            return _watch(api, project_id, story, services, home, once=once)


def standin_command(port: int) -> list[str]:
    """Return the command of the stand-in."""
    return [sys.executable, "-m", "llm.standin", str(SCENARIO), "--port", str(port)]


def _watch(api: Api, project_id: int, story: Story, services: Services, home: Home, *, once: bool) -> int:
    person = Person(api, project_id)

    def step() -> None:
        story.go_on()
        if once:
            person.look()

    is_complete = wait(lambda: is_over(api, project_id), step, services.wait, ONCE_S if once else FOR_EVER_S)
    if is_complete:
        story.go_on()
        home.remember(is_over=True)
        return _conclude(api, project_id, home, services, once=once)
    if not once:
        say("\nStopped. `make demo` goes on where it was.")
        return 0
    say("\nNot all is done; what is there:\n")
    say(report.table(report.rows(api, project_id)))
    return 1


def _conclude(api: Api, project_id: int, home: Home, services: Services, *, once: bool) -> int:
    say(f"\n{report.table(report.rows(api, project_id))}\n")
    wrong = report.complaints(api, project_id, home.repository)
    for complaint in wrong:
        say(f"NOT TRUE YET: {complaint}")
    if not wrong:
        say(
            f"Every task is done and merged into {project.BRANCH} of {home.repository}, and the project's own tests pass there."
        )
        say("Tokens and cost are scripted: the model was a stand-in.")
    if not once:
        say("\nHave a look around; Ctrl-C stops. `make demo FRESH=1` begins anew.")
        while not services.wait(0.5):
            pass
    return 1 if wrong else 0


def _ensure_project(api: Api, home: Home) -> int:
    """Make project, agents and tasks through the API; what an earlier, interrupted start made is found."""
    project.make(home.repository)
    found = next((row for row in api.all("projects") if row["root_path"] == str(home.repository)), None)
    made = found or api.post("projects", name=project.NAME, root_path=str(home.repository), checks=[project.CHECK])
    project_id = int(made["id"])
    agents = {row["name"]: row["id"] for row in api.all("agents", project=project_id)}
    for agent in project.AGENTS:
        if agent["name"] not in agents:
            agents[agent["name"]] = api.post("agents", project=project_id, **agent)["id"]
    tasks = {row["title"]: row["id"] for row in api.all("tasks", project=project_id)}
    for task in project.TASKS:
        if task["title"] not in tasks:
            body = _task_body(task, agents, tasks)
            tasks[task["title"]] = api.post("tasks", project=project_id, **body)["id"]
    return project_id


def _task_body(task: Mapping[str, Any], agents: Mapping[str, int], tasks: Mapping[str, int]) -> dict[str, Any]:
    body = {name: value for name, value in task.items() if name not in {"agent", "after"}}
    # An interrupted demo may meet the scripted overload more than once.
    return body | {
        "assignee": agents[task["agent"]],
        "depends_on": [tasks[title] for title in task.get("after", [])],
        "max_attempts": 6,
    }


def _initialise(environment: Mapping[str, str]) -> tuple[str, str]:
    """Make the database and the login; return the line that names the login (on the first start), and a token."""
    said = _manage(environment, "initialise")
    login = next((line for line in said.splitlines() if line.startswith("Login:")), "")
    created = _manage(environment, "create_token", "admin", "--name", "demo", "--scope", "admin", "--days", "1")
    token = re.search(r"bbb_[\w-]+", created)
    if token is None:
        raise ServiceDied(f"No token was made: {created}.")
    return login, token[0]


def _manage(environment: Mapping[str, str], *words: str) -> str:
    command = [sys.executable, str(CODE / "manage.py"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  (ours)
    if done.returncode:
        raise ServiceDied(f"`manage.py {words[0]}` failed:\n{done.stderr}")
    return done.stdout


def _greet(port: int, login: str, home: Home, *, once: bool) -> None:
    say(f"\nBeeBeeBrain's demo is at http://127.0.0.1:{port}/admin/   logs: {home.logs}")
    again = "Login: admin, with the password that the first start has shown (`make demo FRESH=1` makes a new one)"
    say(f"{login}   (shown this once)" if login else again)
    if not once:
        say(f"Answer and approve in the inbox: http://127.0.0.1:{port}/admin/inbox/inboxitem/   Ctrl-C stops.")
        say(f"A token for `./bbb login http://127.0.0.1:{port}` or the API, in another terminal:")
        command = f"{_PYTHON} manage.py create_token admin --name laptop --scope admin"
        say(f"  BBB_HOME={shlex.quote(str(home.data))} {command}")
    say("")


def _free_port(wanted: int) -> int:
    """Return the port if nobody has it, else another one; 0 wants any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main())
