"""Parts of a tile set through an encoder.

Batches never cross a part: what comes of a part depends on that part alone, so that runs that were
stopped, shards of an array job and one undisturbed run all write the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.batches import ahead
from tile2vec_cli.device import Runtime
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.parts import Progress
from tile2vec_cli.tiles import Part

Vectors = NDArray[np.float32]


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
        for part, batches in groupby(ahead(self._batches(parts)), key=lambda item: item[0]):
            vectors: list[Tensor] = []
            error: Tile2VecError | None = None
            for _, batch in batches:
                if isinstance(batch, Tile2VecError):
                    error = batch
                    continue
                with torch.inference_mode(), self.runtime.autocast():
                    vectors.append(self.encoder(batch.to(self.runtime.device, non_blocking=True)).float())
                done += len(batch)
                on_progress(done, total)
            yield part, error or _finite(part, torch.cat(vectors).cpu().numpy())

    def _batches(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Tensor | Tile2VecError]]:
        """Pixels, batch by batch; `ahead` has a thread of its own read them."""
        for part in parts:
            try:
                for start in range(0, part.count, self.batch_size):
                    # A copy: what torch is given has to be writable, which the memory map is not.
                    pixels = torch.from_numpy(np.array(part.filled(slice(start, start + self.batch_size))))
                    yield part, pixels.pin_memory() if self.runtime.name == "cuda" else pixels
            except Tile2VecError as error:
                yield part, error


def _finite(part: Part, vectors: Vectors) -> Vectors | DataError:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if not len(bad):
        return vectors
    first = part.index()["tile_id"][int(bad[0])].as_py()
    return DataError(
        f"{part.path}: {len(bad):,} of {part.count:,} tiles, the first {first}, get vectors with NaN or "
        "infinity; numbers are needed. Train the model again, or use --precision fp32."
    )
