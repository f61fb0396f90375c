"""The weights of the complexity model, as they are shipped: `weights.bin` beside this file.

    FBXW | format (u16) | length of the header (u32) | header, JSON | float32 arrays | int8 table of the hashed features

The header names the version, the features in their order, and the SHA-256 of the rows that the weights were learned
from, so that weights and code that do not belong together are refused. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from pkgutil import get_data
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMAT: Final = 1
_MAGIC: Final = b"FBXW"
_PREFIX: Final = struct.Struct("<4sHI")


class WeightsError(ValueError):
    """Bytes that are no weights, or not of this version's features."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the weights are."""

    version: str
    """Changes with every new set of weights; the journal may name it."""
    data_sha256: str
    """Of the rows that they were learned from, in their order."""
    rows: int
    features: tuple[str, ...]
    heads: tuple[str, ...]
    """What they score: `routing.complexity.HEADS`."""
    buckets: int
    """Rows of the hashed table, a power of two."""


class Weights(NamedTuple):
    """Weights as numbers. H heads, F features, B buckets."""

    header: Header
    means: npt.NDArray[np.float64]
    """F: what a feature is moved by."""
    deviations: npt.NDArray[np.float64]
    """F: and divided by."""
    bias: npt.NDArray[np.float64]
    """H."""
    dense: npt.NDArray[np.float64]
    """H x F."""
    hashed: npt.NDArray[np.float32]
    """B x H."""


def pack(weights: Weights) -> bytes:
    """Weights as a file. The hashed table loses precision: one byte each, in units of its head's largest."""
    import numpy as np

    step = np.maximum(np.abs(weights.hashed).max(axis=0), 1e-12) / 127
    table = np.rint(weights.hashed / step).astype("<i1")
    arrays = (weights.means, weights.deviations, weights.bias, weights.dense.ravel(), step)
    header = msgspec.json.encode(weights.header)
    numbers = b"".join(array.astype("<f4").tobytes() for array in arrays)
    prefix = _PREFIX.pack(_MAGIC, FORMAT, len(header))
    return b"".join((prefix, header, numbers, table.tobytes()))


def unpack(data: bytes) -> Weights:
    """Read what `pack` wrote. Raises `WeightsError`."""
    import numpy as np

    header, rest = _header(data)
    features, heads, buckets = len(header.features), len(header.heads), header.buckets
    sizes = (features, features, heads, heads * features, heads)
    if buckets < 1 or buckets & (buckets - 1) or len(rest) != 4 * sum(sizes) + buckets * heads:
        raise WeightsError("the weights are cut short, or their header does not describe them")
    numbers = np.frombuffer(rest, "<f4", sum(sizes)).astype(np.float64)
    means, deviations, bias, dense, step = np.split(numbers, np.cumsum(sizes)[:-1])
    table = np.frombuffer(rest, "<i1", buckets * heads, 4 * sum(sizes)).reshape(buckets, heads)
    hashed = (table * step).astype(np.float32)
    return Weights(header, means, deviations, bias, dense.reshape(heads, features), hashed)


def _header(data: bytes) -> tuple[Header, bytes]:
    try:
        magic, version, length = _PREFIX.unpack_from(data)
        if magic != _MAGIC or version != FORMAT:
            raise WeightsError(f"not weights of format {FORMAT}")
        header = msgspec.json.decode(data[_PREFIX.size : _PREFIX.size + length], type=Header)
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"not weights: {error}") from error
    return header, data[_PREFIX.size + length :]


def shipped() -> Weights:
    """The weights of this version of Farebox: package data, read like code, once by whoever builds a scorer."""
    data = get_data(__package__, "weights.bin")
    if data is None:  # pragma: no cover -- a loader that cannot read data
        raise WeightsError("weights.bin is not in the package")
    return unpack(data)
