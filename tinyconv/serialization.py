"""Objects that can be named: initializers, regularizers, schedules and optimizers, from a name, a config or themselves.

    resolve("he_normal", NAMES, Initializer, "initializer")
    resolve({"class_name": "L2", "config": {"l2": 0.001}}, …)      what `serialize` wrote, as Keras writes it
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from tinyconv.errors import ArgumentError
from tinyconv.naming import suggestion

T = TypeVar("T")


class Configurable(Protocol):
    """What can be serialized: `type(x)(**x.get_config())` is the same object again."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""


def resolve(identifier: Any, classes: Mapping[str, type[T]], base: type[T], kind: str) -> T:
    """Return the object that `identifier` means: a `base` object, a class, a name, or a {"class_name", "config"}.

    A name may be written as in `classes` or as the class is called: "he_normal", "HeNormal" and "henormal" are one.

    Raises ArgumentError, which calls the object a `kind`, when there is none of that name or its config does not fit.
    """
    if isinstance(identifier, base):
        return identifier
    name: Any = identifier
    config: Mapping[str, Any] = {}
    if isinstance(identifier, Mapping):
        name, config = identifier.get("class_name"), identifier.get("config") or {}
    if isinstance(name, type) and issubclass(name, base):
        found = name
    elif isinstance(name, str):
        by_name = {_plain(key): cls for key, cls in classes.items()}
        if _plain(name) not in by_name:
            raise ArgumentError(f"There is no {kind} {name!r}. {suggestion(name, classes)}")
        found = by_name[_plain(name)]
    else:
        raise ArgumentError(f"{identifier!r} is not {_article(kind)}; give one, or its name. {suggestion('', classes)}")
    try:
        return found(**config)
    except TypeError as problem:
        raise ArgumentError(f"The {kind} {found.__name__} cannot be made from {config!r}: {problem}.") from problem


def serialize(thing: Configurable) -> dict[str, Any]:
    """Return {"class_name": …, "config": …}, which is JSON and which `resolve` turns into an equal object."""
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def _plain(name: str) -> str:
    """The form in which names are compared: he_normal and HeNormal are one."""
    return name.replace("_", "").lower()


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
