"""What a class declares: ``SealedTable`` for all its sealed columns, and what each says."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_origin, get_type_hints

from sqlalchemy.orm import Mapped

from twinlock.adopt.layout import LegacyLayout
from twinlock.errors import CallerError
from twinlock.integrations.sqlalchemy.codecs import Codec, codec_for
from twinlock.integrations.sqlalchemy.groups import Groups
from twinlock.integrations.sqlalchemy.handle import Sealed
from twinlock.integrations.sqlalchemy.types import SealedColumn

To = Groups | Callable[[Any], Groups]
"""For whom a value is sealed: names or groups, or what returns them for a row."""

INFO: Final = "twinlock"
"""Where a column's ``info`` holds its specification; SQLAlchemy copies it with the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTable:
    """What holds for all sealed columns of a mapped class: its attribute ``__twinlock__``.

    ``table``: the stable name in contexts (default: the table's SQL name now; declare it before
    you rename the table). ``dek``: the column of the row's wrapped DEK. ``record``: the attributes
    that identify the row in contexts (default: the primary key). ``tenant`` and ``version`` name
    attributes. ``to``: the groups of columns that name none. ``adopted``: for a table that is being
    adopted, how its old columns are read, or what returns that when mappers are configured:
    ``lambda: layout_of(load_adoption("adopt.toml").table("patient"))``.
    """

    table: str | None = None
    dek: str = "twinlock_dek"
    record: str | Sequence[str] | None = None
    tenant: str | None = None
    version: str | None = None
    to: To | None = None
    adopted: LegacyLayout | Callable[[], LegacyLayout] | None = None


@dataclass(slots=True)
class SealedColumnSpec:
    """One sealed attribute as declared. ``owner`` and ``key`` are known once its class is."""

    to: To | None
    codec: Codec | None
    column: str | None
    owner: type | None = field(default=None, repr=False)
    key: str = ""

    def resolved_codec(self) -> Codec:
        """Return the codec, by the annotation if none was given. Raises ``sealed.codec``."""
        if self.codec is None:
            self.codec = codec_for(_annotated_type(self.owner, self.key))
        return self.codec


def spec_of(column: Any) -> SealedColumnSpec | None:
    """Return what was declared of a table's column, or None for a column that is not sealed."""
    found = column.info.get(INFO) if isinstance(column, SealedColumn) else None
    return found if isinstance(found, SealedColumnSpec) else None


def _annotated_type(owner: type | None, key: str) -> Any:
    """Return T of an attribute's ``Mapped[Sealed[T]]``. Raises ``sealed.codec``."""
    annotation = None if owner is None else _evaluated(owner, key)
    for wrapper in (Mapped, Sealed):
        # The wrapper itself, or an optional one.
        candidates = [x for x in (annotation, *get_args(annotation)) if get_origin(x) is wrapper]
        if not candidates:
            raise CallerError(
                "sealed.codec",
                f"The type of the sealed attribute {key} cannot be told from its annotation.",
                hint="Annotate it as Mapped[Sealed[str]], or pass codec=.",
            )
        annotation = get_args(candidates[0])[0]
    return annotation


def _evaluated(owner: type, key: str) -> Any:
    """Evaluate one annotation; others of the class may name what is imported for typing only."""
    written = inspect.get_annotations(owner).get(key)
    alone = type("Alone", (), {"__annotations__": {} if written is None else {key: written}})
    names = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}
    try:
        return get_type_hints(alone, names, dict(vars(owner))).get(key)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None
