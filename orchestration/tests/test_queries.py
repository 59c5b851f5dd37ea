from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestration.models import Project, Task
from orchestration.queries import Edge, project_graph, task_graph
from orchestration.services.dependencies import add_dependency
from orchestration.services.graphs import TaskDraft, create_graph
from orchestration.services.tasks import update_task
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_done, make_project, make_task, set_status

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def diamond(project: Project) -> list[Task]:
    """Return a, b and c behind a, d behind both, e behind d."""
    a = make_task(project)
    b, c = make_task(project, depends_on=[a]), make_task(project, depends_on=[a])
    d = make_task(project, depends_on=[b, c])
    return [a, b, c, d, make_task(project, depends_on=[d])]


def ids(*tasks: Task) -> list[int]:
    return [task.pk for task in tasks]


def test_a_task_sees_what_is_before_and_behind_it_with_the_distance(diamond: list[Task]) -> None:
    a, b, c, d, e = diamond
    graph = task_graph(d)
    assert [(node.id, node.distance) for node in graph.up] == [(b.pk, 1), (c.pk, 1), (a.pk, 2)]
    assert [(node.id, node.distance) for node in graph.down] == [(e.pk, 1)]
    assert not graph.is_truncated


def test_a_task_sees_all_edges_between_them(diamond: list[Task]) -> None:
    a, b, c, d, e = ids(*diamond)
    assert task_graph(diamond[3]).edges == [Edge(b, a), Edge(c, a), Edge(d, b), Edge(d, c), Edge(e, d)]


def test_a_task_does_not_see_what_it_has_nothing_to_do_with(project: Project, diamond: list[Task]) -> None:
    _, b, c, _, _ = diamond
    seen = {node.id for node in [*task_graph(b).up, *task_graph(b).down]}
    assert c.pk not in seen
    assert task_graph(make_task(project)).up == []


def test_a_node_tells_what_a_list_would(project: Project) -> None:
    parent = make_task(project)
    task = make_task(project, title="Paint", priority=1, parent=parent, depends_on=[parent])
    [node] = task_graph(parent).down
    assert (node.key, node.title, node.status, node.priority) == (task.key, "Paint", "todo", 1)
    assert (node.is_held, node.unmet_dependencies, node.parent) == (False, 1, parent.pk)


def test_the_critical_path_is_the_longest_chain_not_done_through_the_task(diamond: list[Task]) -> None:
    a, b, _, d, e = diamond
    assert task_graph(d).critical_path == ids(a, b, d, e)
    make_done(a)
    assert task_graph(d).critical_path == ids(b, d, e)


def test_no_critical_path_runs_through_what_is_done(project: Project) -> None:
    assert task_graph(set_status(make_task(project), TaskStatus.DONE)).critical_path == []


def test_a_limit_keeps_the_nearest(project: Project) -> None:
    middle = make_task(project)
    far = make_task(project)
    near = make_task(project, depends_on=[far])
    add_dependency(middle, depends_on=near, actor=ACTOR)
    behind = make_task(project, depends_on=[middle])
    graph = task_graph(middle, limit=2)
    assert ([node.id for node in graph.up], [node.id for node in graph.down]) == (ids(near), ids(behind))
    assert graph.is_truncated
    assert not task_graph(middle, limit=3).is_truncated


def test_a_wide_level_is_cut_in_the_order_of_ids(project: Project) -> None:
    root = make_task(project)
    made = create_graph(project, tasks=[TaskDraft(title="x", depends_on=[root.pk]) for _ in range(5)], actor=ACTOR)
    assert [node.id for node in task_graph(root, limit=3).down] == ids(*made[:3])


def test_a_task_graph_asks_twice_a_level(project: Project) -> None:
    chain = [TaskDraft(title="x", ref=str(n), depends_on=[str(n - 1)] if n else []) for n in range(10)]
    last = create_graph(project, tasks=chain, actor=ACTOR)[-1]
    with CaptureQueriesContext(connection) as queries:
        assert len(task_graph(last).up) == 9
    assert len(queries) <= 2 * 10 + 2


def test_a_project_shows_its_tasks_by_id_and_their_edges(diamond: list[Task]) -> None:
    a, b, c, d, e = ids(*diamond)
    graph = project_graph(diamond[0].project)
    assert [node.id for node in graph.nodes] == [a, b, c, d, e]
    assert graph.edges == [Edge(b, a), Edge(c, a), Edge(d, b), Edge(d, c), Edge(e, d)]
    assert graph.critical_path == [a, b, d, e]
    assert {node.distance for node in graph.nodes} == {None}


def test_a_project_leaves_out_what_is_archived_and_what_is_another_projects(project: Project, tmp_path: Path) -> None:
    make_task(make_project(tmp_path / "other"))
    over = set_status(make_task(project), TaskStatus.DONE)
    behind = make_task(project, depends_on=[over])
    update_task(over, actor=ACTOR, is_archived=True)
    graph = project_graph(project)
    assert ([node.id for node in graph.nodes], graph.edges) == (ids(behind), [])


def test_a_project_too_large_shows_what_is_not_done(project: Project) -> None:
    done, first, second = set_status(make_task(project), TaskStatus.DONE), make_task(project), make_task(project)
    graph = project_graph(project, limit=2)
    assert [node.id for node in graph.nodes] == ids(first, second)
    assert graph.is_truncated
    assert [node.id for node in project_graph(project, limit=3).nodes] == ids(done, first, second)


def test_a_project_graph_asks_twice(project: Project, diamond: list[Task]) -> None:
    with CaptureQueriesContext(connection) as queries:
        project_graph(project)
    assert len(queries) == 2
