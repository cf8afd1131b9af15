"""The lines of an adapter's module that one of its operations needs, without this package."""

import ast
import importlib
import inspect
import sys
from types import ModuleType

from hondo_spec.adapter import Operation

OWN = "hondo_spec"
Statements = dict[str, ast.stmt]


def source_of(name: str, operation: Operation, module: str = "") -> str:
    """Statements that define a function of that name as the adapter does; empty if there are none.

    What they need of other modules of this package, such as `hondo_spec.draws.single`, comes with
    them. Decorators, docstrings and types are left out.

    Args:
        name: of the operation.
        operation: a function of a module, or an entry of a dictionary there.
        module: where the target is, if not where the function is.
    """
    function = inspect.unwrap(operation)
    # What is made inside of a function is no entry of its module's tables, whatever their keys.
    made = "<locals>" in getattr(function, "__qualname__", "")
    homes = ["" if made else getattr(function, "__module__", None) or "", module]
    for home in filter(None, map(sys.modules.get, homes)):
        found = _Slice()
        try:
            found.add(home, name)
        except (KeyError, OSError, TypeError):
            continue
        return found.text()
    return ""


class _Slice:
    """Statements in the order in which they need one another."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.statements: list[ast.stmt] = []

    def add(self, module: ModuleType, name: str) -> None:
        """Adds what defines the name in the module, after everything that it needs.

        Raises:
            KeyError: nothing there defines it in a way that could be taken over.
        """
        if (module.__name__, name) in self.seen:
            return
        self.seen.add((module.__name__, name))
        top = _definitions(module)
        statement = _named(top.get(name) or top.get(f"_{name}") or _entry(module, name), name)
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(OWN):
            self.add(importlib.import_module(statement.module or ""), name)
            return
        for needed in sorted(_names(statement) & set(top) - {name, f"_{name}"}):
            self.add(module, needed)
        self.statements.append(statement)

    def text(self) -> str:
        """The imports, then the rest."""
        kinds = ast.Import | ast.ImportFrom
        imports = dict.fromkeys(ast.unparse(s) for s in self.statements if isinstance(s, kinds))
        rest = [ast.unparse(s) for s in self.statements if not isinstance(s, kinds)]
        return "\n\n".join(filter(None, ["\n".join(imports), *rest]))


def _definitions(module: ModuleType) -> Statements:
    """What defines each name at the top of a module."""
    found: Statements = {}
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            found |= {target.id: statement} if isinstance(target, ast.Name) else {}
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                found[alias.asname or alias.name.partition(".")[0]] = _import(statement, alias)
    return found


def _import(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    """The import of one name among those of the statement."""
    if isinstance(statement, ast.Import):
        return ast.Import([alias])
    return ast.ImportFrom(statement.module, [alias], statement.level)


def _entry(module: ModuleType, name: str) -> ast.stmt:
    """The assignment of an entry of a dictionary to its key.

    Raises:
        KeyError: no dictionary of the module has such a key.
    """
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    for mapping in (node for node in nodes if isinstance(node, ast.Dict)):
        for key, value in zip(mapping.keys, mapping.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == name:
                return ast.Assign([ast.Name(name)], value, lineno=0)
    raise KeyError(name)


def _named(statement: ast.stmt, name: str) -> ast.stmt:
    """A function without decorators, docstrings and types, under that name."""
    if isinstance(statement, ast.FunctionDef):
        statement.name = name
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return ast.Assign([statement.target], statement.value, lineno=0)
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list, node.returns = [], None
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.arg):
            node.annotation = None
    return statement


def _names(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
