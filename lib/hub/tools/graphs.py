"""Graphs: paths, size, diameter and spanning trees of small undirected graphs.

Libraries: networkx (BSD-3-Clause), and sympy (BSD-3-Clause) for exact determinants. A graph is written as its
edges, "A-B,B-C,C-A", one capital letter a node.
"""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import networkx as nx
from sympy import Matrix

from lib.hub.arguments import text_parameter
from lib.hub.spec import Api, Goal, Parameter, Tool, Value
from lib.hub.tools.patterns import matching_text

MAX_LENGTH = 80   # characters, that is 20 edges
NODES = "ABCDE"   # nodes of every graph that is asked about

GOALS = (
    Goal("shortest_path_length", {"graph": "graph", "start": "graph_node", "end": "graph_node"}, "num_hops", (
        "the length of the shortest path from {start} to {end} in the graph {graph}",
        "how many edges lie on the quickest way from {start} to {end} in {graph}",
        "the distance between the nodes {start} and {end} in the network {graph}",
        "how many hops it takes to get from {start} to {end} along {graph}",
        "how far node {end} is from node {start} when the links are {graph}",
    ), "the distance from {start} to {end} in {graph}", "The shortest path from {start} to {end} has {fact} edges."),
    Goal("edge_count", {"graph": "graph"}, "small_integer", (
        "the number of edges in the graph {graph}",
        "how many edges {graph} has",
        "how many links make up the network {graph}",
        "the size of the graph {graph}, counted in edges",
        "how many connections there are in {graph}",
    ), "the number of edges in {graph}", "The graph {graph} has {fact} edges."),
    Goal("graph_diameter", {"graph": "graph"}, "small_integer", (
        "the diameter of the graph {graph}",
        "the longest of all shortest paths in {graph}",
        "how far apart the two remotest nodes of {graph} are",
        "the greatest distance between any two nodes in the network {graph}",
        "the largest eccentricity found in {graph}",
    ), "the diameter of {graph}", "The diameter of {graph} is {fact}."),
    Goal("degree_of_node", {"graph": "graph", "node": "graph_node"}, "node_degree", (
        "the degree of node {node} in the graph {graph}",
        "how many neighbours {node} has in {graph}",
        "how many edges meet at {node} in the network {graph}",
        "the number of links at node {node} if the edges are {graph}",
        "the valency of vertex {node} in {graph}",
    ), "the degree of {node} in {graph}", "Node {node} has degree {fact}."),
    Goal("spanning_trees", {"graph": "graph"}, "small_integer", (
        "the number of spanning trees of {graph}",
        "how many spanning trees the graph {graph} has",
        "in how many ways edges of {graph} can form a tree on all its nodes",
        "how many different trees connect all nodes of {graph}",
        "the spanning tree count of the network {graph}",
    ), "the number of spanning trees of {graph}", "The graph {graph} has {fact} spanning trees."),
)


def _sample_graphs(count: int, seed: int) -> tuple[Value, ...]:
    """Distinct connected graphs on NODES with one or two cycles, as edge lists."""
    rng = random.Random(seed)
    possible = ["-".join(pair) for pair in combinations(NODES, 2)]
    found: dict[Value, None] = {}
    while len(found) < count:
        text = ",".join(sorted(rng.sample(possible, rng.choice((5, 6)))))
        graph = nx.Graph([edge.split("-") for edge in text.split(",")])
        if len(graph) == len(NODES) and nx.is_connected(graph):
            found[text] = None
    return tuple(found)


DOMAINS: dict[str, tuple[Value, ...]] = {"graph": _sample_graphs(60, seed=0), "graph_node": tuple(NODES)}


def read_graph(text: object) -> nx.Graph:
    """The undirected graph whose edges text lists."""
    edges = matching_text(text, r"[A-Z]-[A-Z]( *, *[A-Z]-[A-Z])*", MAX_LENGTH, "edges such as A-B,B-C,A-C")
    return nx.Graph([edge.strip().split("-") for edge in edges.split(",")])


def read_node(value: object, graph: nx.Graph) -> str:
    """The node of the graph that value names."""
    node = matching_text(value, r"[A-Za-z]", 3, "one letter for a node").upper()
    if node not in graph:
        raise ValueError(f"no node '{node}' in this graph; it has {', '.join(sorted(graph))}")
    return node


def read_connected(text: object) -> nx.Graph:
    """The graph in text; all its nodes must hang together."""
    graph = read_graph(text)
    if not nx.is_connected(graph):
        raise ValueError("the graph is not connected, so some distances are infinite")
    return graph


def _path(text: object, start: object, end: object) -> list[str]:
    """The first shortest path, nodes in alphabetical preference."""
    graph = read_graph(text)
    first, last = read_node(start, graph), read_node(end, graph)
    if not nx.has_path(graph, first, last):
        raise ValueError(f"no path leads from {first} to {last}")
    return min(nx.all_shortest_paths(graph, first, last))


def shortest_path(edges: object, source: object, target: object) -> dict[str, Any]:
    path = _path(edges, source, target)
    return {"path": "-".join(path), "length": len(path) - 1}


def count_hops(edges: object, source: object, target: object) -> dict[str, Any]:
    return {"hops": len(_path(edges, source, target)) - 1}


def count_edges(edges: object) -> dict[str, Any]:
    return {"edges": read_graph(edges).number_of_edges()}


def diameter(edges: object) -> dict[str, Any]:
    return {"diameter": int(nx.diameter(read_connected(edges)))}


def node_distance(network: object, origin: object, destination: object) -> dict[str, Any]:
    graph = read_graph(network)
    first, last = read_node(origin, graph), read_node(destination, graph)
    lengths = nx.single_source_shortest_path_length(graph, first)
    if last not in lengths:
        raise ValueError(f"no path leads from {first} to {last}")
    return {"distance": int(lengths[last]), "reachable": len(lengths)}


def network_size(network: object) -> dict[str, Any]:
    graph = read_graph(network)
    return {"num_nodes": len(graph), "num_links": int(graph.size())}


def density_report(network: object) -> dict[str, Any]:
    graph = read_graph(network)
    return {"density": round(nx.density(graph), 3), "links": sum(d for _, d in graph.degree) // 2}


def node_degree(network: object, node: object) -> dict[str, Any]:
    graph = read_graph(network)
    return {"degree": int(graph.degree[read_node(node, graph)])}


def eccentricities(graph: object) -> dict[str, Any]:
    found = nx.eccentricity(read_connected(graph)).values()
    return {"smallest": min(found), "largest": max(found)}


def radius_and_diameter(graph: object) -> dict[str, Any]:
    connected = read_connected(graph)
    return {"radius": int(nx.radius(connected)), "widest": int(nx.diameter(connected))}


def vertex_valency(graph: object, vertex: object) -> dict[str, Any]:
    read = read_graph(graph)
    node = read_node(vertex, read)
    return {"valency": int(read.degree[node]), "neighbours": ",".join(sorted(read[node]))}


def spanning_trees(graph: object) -> dict[str, Any]:
    connected = read_connected(graph)
    nodes = sorted(connected)[1:]      # Kirchhoff: a minor of the Laplacian, exact in whole numbers
    laplacian = [[connected.degree[a] if a == b else -connected.number_of_edges(a, b) for b in nodes] for a in nodes]
    return {"trees": int(Matrix(laplacian).det(method="bareiss"))}


EDGES = text_parameter("edges", "edges such as A-B,B-C,A-C")
NETWORK = text_parameter("network", "links, e.g. A-B,B-C")
GRAPH = text_parameter("graph", "edge list, e.g. A-B,B-C")


def _node(name: str, description: str) -> Parameter:
    return text_parameter(name, description)


TOOLS = (
    Tool("graph_explorer", "Graphs", "Explores undirected graphs given by their edges.", (
        Api("shortest_path",
            "Shortest path between nodes of a graph, its length in hops: how far one node is by links on the quickest way.",
            (EDGES, _node("source", "node to start from"), _node("target", "node to reach")), shortest_path,
            "shortest_path_length", {"edges": "graph", "source": "start", "target": "end"}, "length"),
        Api("count_hops",
            "Counts the hops between nodes of a graph: how far one node is by links, the length of the shortest, quickest path.",
            (EDGES, _node("source", "node to start from"), _node("target", "node to reach")), count_hops,
            "shortest_path_length", {"edges": "graph", "source": "start", "target": "end"}, "hops"),
        Api("count_edges",
            "Size of a graph: the number of edges that it has, counted, or how many links or connections make it up.",
            (EDGES,), count_edges, "edge_count", {"edges": "graph"}, "edges"),
        Api("diameter",
            "Diameter of a graph: the longest shortest path, the greatest distance of two nodes, that is, largest eccentricity.",
            (EDGES,),
            diameter, "graph_diameter", {"edges": "graph"}, "diameter"),
    )),
    Tool("netstats_api", "Graphs", "Statistics of small networks.", (
        Api("node_distance",
            "Distance between two nodes of a graph in hops: how far one node is by links, the length of the shortest path.",
            (NETWORK, _node("origin", "first node"), _node("destination", "second node")), node_distance,
            "shortest_path_length", {"network": "graph", "origin": "start", "destination": "end"}, "distance"),
        Api("network_size",
            "Size of a network: how many nodes the graph has, and the number of edges (links, connections) that make it up.",
            (NETWORK,),
            network_size, "edge_count", {"network": "graph"}, "num_links"),
        Api("density_report",
            "Density of a network graph, and its size: how many edges it has, what number of links or connections make it up.",
            (NETWORK,),
            density_report, "edge_count", {"network": "graph"}, "links"),
        Api("node_degree",
            "Degree of a node in a network, valency of a vertex: its number of neighbours, how many edges or links meet at it.",
            (NETWORK, _node("node", "a node's letter")),
            node_degree, "degree_of_node", {"network": "graph", "node": "node"}, "degree"),
    )),
    Tool("graph_theory_kit", "Graphs", "Classical invariants of graphs.", (
        Api("eccentricities",
            "Smallest and largest eccentricity. The largest is the diameter: the greatest distance of the remotest nodes.",
            (GRAPH,),
            eccentricities, "graph_diameter", {"graph": "graph"}, "largest"),
        Api("radius_and_diameter",
            "Radius and diameter of a graph: how far apart any two nodes are at most (greatest distance, longest of all paths).",
            (GRAPH,),
            radius_and_diameter, "graph_diameter", {"graph": "graph"}, "widest"),
        Api("vertex_valency",
            "Valency of a vertex, or degree of a node: how many edges or links of the network meet at it, and its neighbours.",
            (GRAPH, _node("vertex", "a vertex's letter")),
            vertex_valency, "degree_of_node", {"graph": "graph", "vertex": "node"}, "valency"),
        Api("spanning_trees",
            "Number of spanning trees of a graph: the count of different ways in which a tree can connect all its nodes.",
            (GRAPH,),
            spanning_trees, "spanning_trees", {"graph": "graph"}, "trees"),
    )),
)
