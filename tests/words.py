"""Words of commands as pages and tests have them."""

from __future__ import annotations

import re
from collections.abc import Sequence


def replaced(words: Sequence[str], *others: str) -> list[str]:
    """The words with other values of options and of keys: none may be given twice."""
    kept: list[str] = []
    keep, given = True, {other.partition("=")[0] for other in others}
    for word in words:
        if re.match(r"-\D", word) or "=" in word:
            keep = word.partition("=")[0] not in given
        kept += [word] if keep else []
    return [*kept, *others]
