"""A query that was handed to us may read, once, and nothing else."""

from __future__ import annotations

import re
from typing import Final

from zimage_core.errors import CatalogueError

_SKIPPED: Final = re.compile(
    r"""
      --[^\n]*                                     # comment to the end of the line
    | \#[^\n]*                                     # the same in MySQL (in PostgreSQL an operator; then nothing is lost)
    | /\*(?!!|M!).*?\*/                            # comment; /*! ... */ is code in MySQL and stays
    | '(?:''|\\.|[^'\\])*'                         # text
    | "(?:""|[^"])*" | `(?:``|[^`])*` | \[[^\]]*\] # quoted names
    | \$((?:[A-Za-z_]\w*)?)\$.*?\$\1\$                 # text in PostgreSQL's dollar quotes
    """,
    re.VERBOSE | re.DOTALL,
)
_WRITES: Final = re.compile(
    r"\b(?:INTO|INSERT|UPDATE|DELETE|MERGE|CREATE|DROP|ALTER|TRUNCATE|GRANT|CALL|COPY)\b", re.IGNORECASE
)


def only_select(query: str) -> str:
    """Return the query without a `;` at its end if it is one SELECT (or WITH ... SELECT).

    This gives an early, clear answer; that nothing can be written rests on the read-only transaction each reader opens.

    Raises CatalogueError: no SELECT, several statements, or a word that writes outside quotes and comments.
    """
    bare = _SKIPPED.sub(" ", query).strip()
    bare = bare.removesuffix(";").rstrip()
    if not re.match(r"\(*\s*(?:SELECT|WITH)\b", bare, re.IGNORECASE):
        raise CatalogueError("The query must be one SELECT; it begins with something else.")
    if ";" in bare:
        raise CatalogueError("The query must be one SELECT; it holds more than one statement.")
    writes = _WRITES.search(bare)
    if writes or "/*" in bare:
        word = writes[0].upper() if writes else "/*!"
        raise CatalogueError(f"The query must only read, but it holds {word}; a column of that name goes in quotes.")
    return query.strip().removesuffix(";").rstrip()
