"""The vectors of what was asked, and which of them are nearest. Exact: every vector of a group is compared.

Vectors of different groups never meet: a group is all that must be the same to the byte.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector = npt.NDArray[np.float32]
    Matrix = npt.NDArray[np.float32]

__all__ = ["Neighbour", "Neighbours", "unit"]


class Neighbour(msgspec.Struct, frozen=True, gc=False):
    """What was asked before: the key of its answer, its text, and the cosine to what is asked now."""

    key: bytes
    text: str
    similarity: float


def unit(values: Sequence[float]) -> Vector | None:
    """A vector of length 1 in float32; None for one that has no direction, or numbers that are none."""
    import numpy as np

    vector = np.asarray(values, dtype=np.float32).reshape(-1)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-12:
        return None
    return vector / np.float32(length)


def _rows(count: int, dimensions: int) -> Matrix:
    import numpy as np

    return np.empty((count, dimensions), np.float32)


class _Group:
    """The vectors of one group, in rows. A row that goes is filled with the last one.

    State: the ``matrix``, of whose rows as many are in use as there are ``keys`` and ``texts``.
    """

    __slots__ = ("keys", "matrix", "texts")

    def __init__(self, dimensions: int) -> None:
        self.matrix: Matrix = _rows(4, dimensions)
        self.keys: list[bytes] = []
        self.texts: list[str] = []

    def append(self, key: bytes, text: str, vector: Vector) -> None:
        used, matrix = len(self.keys), self.matrix
        if used == len(self.matrix):
            self.matrix = _rows(2 * used, self.matrix.shape[1])
            self.matrix[:used] = matrix
        self.matrix[used] = vector
        self.keys.append(key)
        self.texts.append(text)

    def replace(self, row: int, text: str, vector: Vector) -> None:
        self.matrix[row] = vector
        self.texts[row] = text

    def take_out(self, row: int) -> bytes | None:
        """The key of the row that took its place, if one did."""
        last = len(self.keys) - 1
        key, text = self.keys.pop(), self.texts.pop()
        if row == last:
            return None
        self.matrix[row] = self.matrix[last]
        self.keys[row], self.texts[row] = key, text
        return key


class Neighbours:
    """The most recently used vectors, at most ``max_entries``.

    A vector takes 4 bytes a dimension, and up to twice that while its group grows.

    State: the ``_groups``; group and row of each key in ``_places``, least recently used first.
    """

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self._groups: dict[bytes, _Group] = {}
        self._places: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, group: bytes, key: bytes, text: str, vector: Vector) -> None:
        """Remember what was asked, and forget what was not used for longest."""
        place = self._places.get(key)
        found = self._groups.get(group)
        if found is not None and found.matrix.shape[1] != len(vector):  # another model answers now
            for old in tuple(found.keys):
                self.remove(old)
            place = found = None
        if place is not None and found is not None and place[0] == group:
            found.replace(place[1], text, vector)
            self._places.move_to_end(key)
            return
        self.remove(key)
        found = self._groups.setdefault(group, _Group(len(vector))) if found is None else found
        self._places[key] = (group, len(found.keys))
        found.append(key, text, vector)
        while len(self._places) > self.max_entries:
            self.remove(next(iter(self._places)))

    def remove(self, key: bytes) -> None:
        """Forget it, if it is there."""
        place = self._places.pop(key, None)
        if place is None:
            return
        name, row = place
        group = self._groups[name]
        moved = group.take_out(row)
        if moved is not None:
            self._places[moved] = (name, row)
        if not group.keys:
            del self._groups[name]

    def used(self, key: bytes) -> None:
        """It was of use: it is the last to be forgotten."""
        if key in self._places:
            self._places.move_to_end(key)

    def nearest(self, group: bytes, vector: Vector, threshold: float, most: int = 8) -> list[Neighbour]:
        """At most so many with a cosine of ``threshold`` or more, the most alike first."""
        found = self._groups.get(group)
        if found is None or found.matrix.shape[1] != len(vector):
            return []
        alike = found.matrix[: len(found.keys)] @ vector
        rows = (alike >= threshold).nonzero()[0]
        if len(rows) > most:
            rows = rows[alike[rows].argpartition(-most)[-most:]]
        ordered = sorted(rows, key=lambda row: -alike[row])
        return [Neighbour(found.keys[row], found.texts[row], float(alike[row])) for row in ordered]
