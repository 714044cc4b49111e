"""Name the operations of an ONNX file by the module path that they come from.

    node_conv2d_3: … -> conv2d_3     becomes     stages.0.1.project/conv2d_3, and so its output

Runtimes that fuse operations name the result after the last one or after its output, so both have
the path, and a profile can be summed by module.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"  # written by torch's exporter from `nn_module_stack`


def name_by_module(model: onnx.ModelProto, root: str) -> set[str]:
    """Rename nodes and their outputs to `PATH/OPERATION`, in place; `root` is the path of the model
    in the captured module. Graph inputs, outputs and weights keep their names. Return the new names
    of all nodes."""
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    taken, renamed = set(kept), {}
    for node in graph.node:
        path = _path(node, root)
        leaf = node.name.removeprefix("node_") or node.op_type
        node.name = _free(_joined(path, leaf), taken)
        for number, output in enumerate(node.output):
            if output and output not in kept:
                renamed[output] = _output_name(node.name, number)
    _rename_values(graph, renamed)
    return {node.name for node in graph.node}


def name_added_nodes(model: onnx.ModelProto, known: Collection[str]) -> None:
    """Name, in place, the nodes that a simplifier added since the nodes had the names `known`:
    after their output, or with the module path of the node that reads it."""
    graph, kept = model.graph, {value.name for value in model.graph.output}
    taken = {node.name for node in graph.node if node.name in known}
    readers = {name: node for node in reversed(graph.node) for name in node.input}
    renamed: dict[str, str] = {}
    for node in reversed(graph.node):  # readers are named before what they read
        if node.name in known:
            continue
        path = next((path_in(readers[name].name) for name in node.output if name in readers), "")
        named = node.output[0] in known
        node.name = _free(node.output[0] if named else _joined(path, node.name), taken)
        for number, output in enumerate(node.output):
            if output not in known and output not in kept:
                renamed[output] = _output_name(node.name, number)
    _rename_values(graph, renamed)


def path_in(name: str) -> str:
    """Return the module's path in a name such as `stages.0.1.project/conv2d_3`, or ""."""
    return name.rpartition("/")[0]


def _path(node: onnx.NodeProto, root: str) -> str:
    """Return the innermost module's path relative to the model; empty for the model itself."""
    for property in node.metadata_props:
        if property.key == _SCOPES:
            scopes = ast.literal_eval(property.value)  # each module's path, then the call's name
            path = str(scopes[-2]) if len(scopes) > 1 else ""
            return path.removeprefix(root).removeprefix(".")
    return ""


def _joined(path: str, leaf: str) -> str:
    return f"{path}/{leaf}" if path else leaf


def _output_name(node: str, number: int) -> str:
    """Return the name of a node's output: the node's name for the first one, with the index
    appended for others. No node's name has a dot after the slash."""
    return node if number == 0 else f"{node}.{number}"


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with a number if it is taken, and add it to `taken`."""
    free, count = name, 0
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    taken.add(free)
    return free


def _rename_values(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for info in graph.value_info:
        info.name = renamed.get(info.name, info.name)
