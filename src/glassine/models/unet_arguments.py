"""Constructors of UNets that extend diffusers': arguments of the base class are inherited, not declared again.

They stay classes, and are not functions such as `with_lora`, for three reasons: bundles and checkpoints name them as
`class_path`; diffusers' `from_pretrained` fills only layers that exist when the constructor returns; and each of them
has its own forward pass.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any


def inherit_arguments(base: type, *names: str, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of an `__init__(self, inherited, own...)`: its signature gets arguments of the base class's.

    Command lines, YAML files and diffusers' configuration see one flat signature with names, types and defaults; the
    decorated function gets the inherited arguments as one dictionary.

    Args:
        base: one of diffusers' models.
        names: arguments that are inherited; none stands for all.
        defaults: those that differ from the base class's.
    """
    theirs = dict(inspect.signature(base.__init__).parameters)  # type: ignore[misc]
    chosen = names or tuple(theirs)[1:]

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        self_argument, _, *own = inspect.signature(init).parameters.values()
        inherited = [
            theirs[name].replace(
                default=defaults.get(name, theirs[name].default), annotation=any_length(theirs[name].annotation)
            )
            for name in chosen
        ]
        signature = inspect.Signature([self_argument, *inherited, *own])

        @wraps(init)
        def flat(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = dict(list(bound.arguments.items())[1:])
            init(self, {name: arguments.pop(name) for name in chosen}, **arguments)

        flat.__signature__ = signature  # type: ignore[attr-defined]
        return flat

    return decorate


def any_length(annotation: Any) -> Any:
    """diffusers writes `int | tuple[int]` for one number or one for each block, which parsers read as a single one."""
    return int | tuple[int, ...] if annotation == int | tuple[int] else annotation
