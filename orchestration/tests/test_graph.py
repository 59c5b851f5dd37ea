from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestration.graph import Edge, find_cycle, in_order, longest_path, longest_path_through, reaches

EDGES = {1: [2, 3], 2: [4], 3: [4], 4: []}
NODES = range(7)

some_edges = st.sets(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=14)
# What waits has the higher number: no cycles.
some_dag = some_edges.map(lambda edges: {(max(edge), min(edge)) for edge in edges if edge[0] != edge[1]})


def parents(ids: set[int]) -> list[int]:
    return [parent for task in ids for parent in EDGES[task]]


def parents_in(edges: set[Edge]) -> dict[int, set[int]]:
    return {node: {parent for child, parent in edges if child == node} for node in NODES}


def chains(edges: set[Edge]) -> list[list[int]]:
    """Return every chain there is, found by trying them all."""
    found = [[node] for node in NODES]
    for chain in found:
        found += [[*chain, child] for child, parent in sorted(edges) if parent == chain[-1]]
    return found


def best(candidates: list[list[int]]) -> list[int]:
    return min(candidates, key=lambda chain: (-len(chain), chain), default=[])


def test_an_ancestor_is_reached() -> None:
    assert reaches(1, 4, parents)


def test_a_descendant_is_not() -> None:
    assert not reaches(4, 1, parents)


def test_a_task_reaches_itself() -> None:
    assert reaches(1, 1, parents)


def test_a_diamond_is_walked_once_a_level() -> None:
    asked: list[set[int]] = []

    def asked_parents(ids: set[int]) -> list[int]:
        asked.append(set(ids))
        return list(parents(ids))

    reaches(1, 99, asked_parents)
    assert asked == [{1}, {2, 3}, {4}]


@given(some_dag)
def test_in_order_everything_comes_behind_its_parents(edges: set[Edge]) -> None:
    place = {node: index for index, node in enumerate(in_order(parents_in(edges)))}
    assert set(place) == set(NODES)
    assert all(place[parent] < place[child] for child, parent in edges)


def test_what_is_behind_a_cycle_is_left_out_of_the_order() -> None:
    assert in_order({1: [2], 2: [1], 3: [1], 4: []}) == [4]


def test_parents_that_are_no_nodes_keep_nothing() -> None:
    assert in_order({1: [99], 2: [1]}) == [1, 2]


@given(some_edges)
def test_a_cycle_is_found_where_one_is_and_leads_back_to_its_beginning(edges: set[Edge]) -> None:
    found = find_cycle(parents_in(edges))
    reachable = {node: reached(node, edges) for node in NODES}
    assert bool(found) == any(node in reachable[node] for node in NODES)
    assert set(pairwise([*found, *found[:1]])) <= edges
    assert len(found) == len(set(found))


def reached(start: int, edges: set[Edge]) -> set[int]:
    found: set[int] = set()
    front = {start}
    while front:
        front = {parent for child, parent in edges if child in front} - found
        found |= front
    return found


@given(some_dag)
def test_the_longest_path_is_the_first_of_the_longest_chains(edges: set[Edge]) -> None:
    assert longest_path(NODES, edges) == best(chains(edges))


@given(some_dag, st.sampled_from(NODES))
def test_the_longest_path_through_a_node_is_the_first_of_the_longest_that_hold_it(edges: set[Edge], node: int) -> None:
    through = [chain for chain in chains(edges) if node in chain]
    assert longest_path_through(node, NODES, edges) == best(through)


@given(some_dag, st.sets(st.sampled_from(NODES)))
def test_edges_out_of_the_nodes_do_not_count(edges: set[Edge], nodes: set[int]) -> None:
    inside = [chain for chain in chains(edges) if nodes.issuperset(chain)]
    assert longest_path(nodes, edges) == best(inside)


def test_no_path_runs_through_what_is_no_node() -> None:
    assert longest_path_through(9, [1, 2], [(2, 1)]) == []


def test_a_path_of_many_nodes_is_found_without_recursion() -> None:
    assert longest_path(range(50_000), [(node + 1, node) for node in range(49_999)]) == list(range(50_000))


def test_a_cycle_leaves_the_path_that_is_not_on_it() -> None:
    assert longest_path([1, 2, 3, 4], [(1, 2), (2, 1), (4, 3)]) == [3, 4]
