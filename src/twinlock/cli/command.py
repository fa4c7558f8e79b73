"""Commands as functions of a ``Terminal``: the global options are added to each of them.

So ``twinlock --json group list`` and ``twinlock group list --json`` are one command. Options that
several commands share are a class, ``Options``, which a command takes as one parameter.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from twinlock.cli.terminal import Terminal

CONFIG_VARIABLE: Final = "TWINLOCK_CONFIG"
DEFAULT_CONFIG: Final = Path("twinlock.toml")
_PANEL: Final = "Global options"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration; default $TWINLOCK_CONFIG, else twinlock.toml.",
        rich_help_panel=_PANEL,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="One JSON object on stdout, errors too.", rich_help_panel=_PANEL),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Results only.", rich_help_panel=_PANEL)
]


@dataclass(frozen=True, slots=True)
class Globals:
    """The global options as they stood before the command."""

    config: Path | None = None
    json: bool = False
    quiet: bool = False


class Options:
    """Base of dataclasses whose every field is an option: a command's parameter of such a class
    stands for all of them."""


class Command(TyperCommand):
    """A command whose help says no ``<bool>`` beside switches."""

    def get_params(self, ctx: Any) -> Any:
        return _quiet_switches(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, likewise."""

    def get_params(self, ctx: Any) -> Any:
        return _quiet_switches(super().get_params(ctx))


def _quiet_switches(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def new_app(help_text: str, *, cls: type[Group] = Group, **settings: Any) -> typer.Typer:
    """Return a group of commands."""
    return typer.Typer(
        cls=cls,
        help=help_text,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def command(
    app: typer.Typer, name: str, **settings: Any
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Register ``function(terminal, ...)`` as the command ``name``.

    Its docstring is the help text. It returns an exit code, or None for 0.
    """

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        groups = {p.name: p.annotation for p in own if _is_options(p.annotation)}

        @wraps(function)
        def run(ctx: typer.Context, **values: Any) -> int | None:
            config, as_json, quiet = (values.pop(name) for name in ("config", "json", "quiet"))
            terminal = _terminal(ctx, Globals(config, as_json, quiet))
            return function(terminal, **_gathered(groups, values))

        added = [
            _keyword("config", ConfigOption, None),
            _keyword("json", JsonOption, False),
            _keyword("quiet", QuietOption, False),
        ]
        context = inspect.Parameter(
            "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        mine = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for one in own
            for parameter in (_expanded(one.annotation) if one.name in groups else [one])
        ]
        everything = [context, *mine, *added]
        run.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in everything}
        app.command(name, cls=Command, help=_paragraphs(function), **settings)(run)
        return function

    return register


def _is_options(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Options)


def _expanded(options: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(options, include_extras=True)
    return [_keyword(one.name, hints[one.name], one.default) for one in fields(options)]


def _gathered(groups: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Put the values of each class of options into one object of it."""
    made = {}
    for name, options in groups.items():
        made[name] = options(**{one.name: values.pop(one.name) for one in fields(options)})
    return {**values, **made}


def _paragraphs(function: Callable[..., int | None]) -> str:
    """A docstring as help: each paragraph one line, to be wrapped as wide as the terminal is."""
    text = inspect.getdoc(function) or ""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _terminal(ctx: typer.Context, own: Globals) -> Terminal:
    before = ctx.obj if isinstance(ctx.obj, Globals) else Globals()
    named = own.config or before.config or _config_of_environment()
    return Terminal(
        config=named or DEFAULT_CONFIG,
        json=own.json or before.json,
        quiet=own.quiet or before.quiet,
        config_named=named is not None,
    )


def _config_of_environment() -> Path | None:
    value = os.environ.get(CONFIG_VARIABLE)
    return Path(value) if value else None
