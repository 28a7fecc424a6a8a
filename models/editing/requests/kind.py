"""What every kind of request offers: options of the command line, and the requests they stand for."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from models.editing.requests.base import Request

if TYPE_CHECKING:
    from models.editing.pipeline import EditingPipeline


class RequestKind(ABC):
    """A kind of request that editors may name in `Editor.requests`.

    Attributes:
        name: as editors name it.
        title: for messages, in the plural (`attribute requests`).
        joins: whether a request of this kind and one of another kind that joins are one edit, if both are asked for.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    joins: ClassVar[bool] = False

    @abstractmethod
    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the kind's options, best as a group. All have defaults; `--some-name` is stored as `some_name`."""

    @abstractmethod
    def parse(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[Request]:
        """The requests that the options ask for; none where no option is given.

        Args:
            pipeline: the editor and its domain; a kind that takes a second picture inverts it with these.
        Raises:
            RequestError: a value that cannot be understood.
        """

    def default(self, options: argparse.Namespace, pipeline: EditingPipeline) -> Sequence[Request]:
        """The requests if no option asks for an edit and this is the editor's first kind; none unless overridden."""
        return ()

    def settings(self, options: argparse.Namespace) -> dict[str, Any]:
        """Options that a report repeats, by name; none unless overridden."""
        return {}
