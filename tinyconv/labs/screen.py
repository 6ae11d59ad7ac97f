"""Look through a learner's Python file before it runs: does it parse, and what does it import?

This runs in the learner's process (`runner.py`), because even parsing can be made to crash.
"""

import ast
from collections.abc import Iterable, Iterator

ALWAYS_ALLOWED = ("__future__", "collections", "dataclasses", "functools", "itertools", "math", "operator", "typing")
NOT_CALLED = ("__import__", "breakpoint", "compile", "eval", "exec", "open")


def fault(source: str, imports: Iterable[str], compiled: bool) -> str | None:
    """Return a sentence about the first thing that is wrong with a file, or None.

    Arguments:
        source: the text of the file.
        imports: the packages it may import, besides a few of Python's own.
        compiled: whether it must be safe to run in parallel (lab 11).
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as problem:
        where = f" in line {problem.lineno}" if problem.lineno else ""
        text = f", near `{problem.text.strip()[:60]}`" if problem.text and problem.text.strip() else ""
        return f"the file is not Python: {problem.msg}{where}{text}."
    except ValueError:
        return "the file is not Python: it holds null characters."
    except (RecursionError, MemoryError):
        return "the file is not Python that anyone would write: it is nested too deeply."
    allowed = {*imports, *ALWAYS_ALLOWED}
    for node in ast.walk(tree):
        for line, name in _imported(node):
            if name not in allowed:
                wanted = " and ".join(imports)
                return f"line {line} imports {name or 'a file beside it'}; this lab is to be done with {wanted}."
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NOT_CALLED:
            return f"line {node.lineno} calls {node.func.id}, which no lab needs."
    return _race(tree) if compiled else None


def _imported(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The packages that a statement imports, with its line; "" for a relative import."""
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.lineno, "" if node.level else str(node.module).partition(".")[0]


def _race(tree: ast.AST) -> str | None:
    """A sentence about the first prange loop whose rounds write to the same element of an array, or about none at all.

    An element is a round's own when its index depends on the loop's variable, or its array is made inside of the loop.
    """
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For) and "prange" in ast.unparse(node.iter)]
    if not loops:
        return "there is no prange loop yet, so only one thread works."
    for loop in loops:
        sources = [pair for node in ast.walk(loop) for pair in _assigned(node)]
        made = {name for node in ast.walk(loop) if isinstance(node, ast.Assign) for name in _stored(node.targets[0])}
        own = _names(loop.target)
        for _ in sources:  # long enough for any chain of assignments
            own |= {name for target, value in sources if own & _names(value) for name in _stored(target)}
        for target, _ in sources:
            if not isinstance(target, ast.Subscript) or own & _names(target.slice) or made & _names(target.value):
                continue
            return (
                f"line {target.lineno} writes {ast.unparse(target)}, which does not depend on "
                f"{ast.unparse(loop.target)}: all threads of the prange loop write the same elements at the same "
                "time, and sums get lost. Let prange run over the output, and range over what is summed."
            )
    return None


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a statement assigns to, each with what it gets."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AugAssign):
        yield node.target, node.value
    elif isinstance(node, ast.For):
        yield node.target, node.iter


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _stored(target: ast.AST) -> set[str]:
    """The plain names that an assignment sets: i and j in `i, j = …`, none in `y[i] = …`."""
    if isinstance(target, ast.Tuple):
        return set().union(*map(_stored, target.elts))
    return {target.id} if isinstance(target, ast.Name) else set()
