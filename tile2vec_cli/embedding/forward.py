"""Parts of a tile set through an encoder.

Batches run on across parts, so that many small parts cost no more than one large one. All have the
same size, the last one filled up: a network computes each tile of such a batch by the same
operations, whatever lies beside it. So runs that were stopped, shards of an array job and one
undisturbed run write the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.neural.batches import Courier, ahead
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import Progress

if TYPE_CHECKING:  # it needs libraries that no network does
    from tile2vec_cli.tiling.tile_files import Part

Vectors = NDArray[np.float32]


@dataclass
class _Batch:
    """Pixels (B, C, S, S) of tiles of some parts, in order."""

    pixels: Tensor
    pieces: list[tuple[Part, int | Tile2VecError]] = field(default_factory=list)  # tiles, or what went wrong
    filled: int = 0

    @classmethod
    def like(cls, part: Part, size: int, courier: Courier) -> _Batch:
        dtype = torch.from_numpy(np.empty(0, part.dtype)).dtype
        return cls(courier.room((size, *part.shape[1:]), dtype))

    def take(self, part: Part, start: int) -> int:
        """Add the part's tiles from `start` on, as many as there is room for. Returns how many."""
        count = min(len(self.pixels) - self.filled, part.count - start)
        self.pixels.numpy()[self.filled : self.filled + count] = part.filled(slice(start, start + count))
        self.filled += count
        self.pieces.append((part, count))
        return count


@dataclass(frozen=True)
class Forward:
    """An encoder on a device."""

    encoder: nn.Module  # (B, C, S, S) raw pixels -> (B, D)
    runtime: Runtime
    batch_size: int

    def vectors(
        self, parts: Sequence[Part], on_progress: Progress
    ) -> Iterator[tuple[Part, Vectors | Tile2VecError]]:
        """Each part's (N, D) vectors in the order of its index, or what kept it from having any.

        Progress is in tiles.
        """
        done, total = 0, sum(part.count for part in parts)
        gathered: list[Tensor] = []
        courier = Courier(self.runtime.device)
        batches = self._batches(parts, courier)
        for batch, parcel in ahead((batch, courier.send(batch.pixels)) for batch in batches):
            left = self._run(courier.receive(parcel))
            for part, piece in batch.pieces:
                if isinstance(piece, Tile2VecError):
                    yield part, piece
                    gathered = []
                    continue
                gathered.append(left[:piece])
                left = left[piece:]
                if sum(map(len, gathered)) == part.count:
                    yield part, _finite(part, torch.cat(gathered).cpu().numpy())
                    gathered = []
            done += batch.filled
            on_progress(done, total)

    def encode(self, pixels: NDArray[Any]) -> Vectors:
        """(N, D) float32 vectors of pixels (N, C, S, S), as `vectors` has them."""
        found = []
        for start in range(0, len(pixels), self.batch_size):
            here = pixels[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, *pixels.shape[1:]), pixels.dtype)
            batch[: len(here)] = here
            found.append(
                self._run(torch.from_numpy(batch).to(self.runtime.device))[: len(here)].cpu().numpy()
            )
        return np.concatenate(found)

    def _batches(self, parts: Sequence[Part], courier: Courier) -> Iterator[_Batch]:
        """The parts' pixels; `ahead` has a thread of its own read them."""
        batch: _Batch | None = None
        for part in parts:
            start = 0
            while start < part.count:
                batch = batch or _Batch.like(part, self.batch_size, courier)
                try:
                    start += batch.take(part, start)
                except Tile2VecError as error:
                    batch.pieces.append((part, error))
                    break
                if batch.filled == self.batch_size:
                    yield batch
                    batch = None
        if batch is not None:
            batch.pixels.numpy()[batch.filled :] = 0
            yield batch

    def _run(self, pixels: Tensor) -> Tensor:
        """(B, D) float32, on the device."""
        with torch.inference_mode(), self.runtime.autocast():
            vectors: Tensor = self.encoder(pixels)
        return vectors.float()


def _finite(part: Part, vectors: Vectors) -> Vectors | DataError:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if not len(bad):
        return vectors
    first = part.index()["tile_id"][int(bad[0])].as_py()
    return DataError(
        f"{part.path}: {len(bad):,} of {part.count:,} tiles, the first {first}, get vectors with NaN or "
        "infinity; numbers are needed. Train the model again, or use --precision fp32."
    )
