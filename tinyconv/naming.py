"""Unknown names: the sentence that says which one was probably meant, and which there are."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: the nearest choice, if any is near, and all of them.

    >>> suggestion("adm", ["sgd", "adam", "adamw"])
    "Did you mean 'adam'? There are: adam, adamw, sgd."
    >>> suggestion("lion", ["sgd", "adam"])
    'There are: adam, sgd.'
    """
    names = sorted(choices)
    by_lower_case = {choice.lower(): choice for choice in names}
    near = get_close_matches(str(name).lower(), by_lower_case, n=1)
    question = f"Did you mean {by_lower_case[near[0]]!r}? " if near else ""
    return f"{question}There are: {', '.join(names)}."
