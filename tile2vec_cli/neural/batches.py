"""Batches of tiles: their pixels, on the device or on the way to it, and the scale they are on."""

from __future__ import annotations

import math
import queue
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.neural.device import free_memory

if TYPE_CHECKING:
    from tile2vec_cli.tiling.tiles import TileSet

_CLIP = 6.0  # standard deviations: a glint or a cloud edge must not drown its surroundings

Item = TypeVar("Item")
_CHUNK = 1024  # tiles read at a time
_GRACE_S = 5.0  # for a thread to end behind a signal; ten seconds are promised in all
_SAMPLE = 10_000  # tiles from which mean and deviation are taken
_UNSIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor on the device, in order with what the device is asked for next."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Parcel:
    """A tensor on the device, whole as soon as `arrival` has passed."""

    tensor: Tensor
    arrival: torch.cuda.Event | None = None


class Courier:
    """Brings batches to a device while it is at work on others; `send` may run in a thread of its own."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An empty tensor to be filled and sent."""
        with self._here():
            return torch.empty(shape, dtype=dtype, pin_memory=self._stream is not None)

    def send(self, tensor: Tensor) -> Parcel:
        if self._stream is None:
            return Parcel(tensor)
        with self._here():
            pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
            copy = pinned.to(self.device, non_blocking=True)
            return Parcel(copy, self._stream.record_event())

    def receive(self, parcel: Parcel) -> Tensor:
        """The tensor, for use in the device's next work, which waits for it; the CPU does not."""
        if parcel.arrival is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(parcel.arrival)
            parcel.tensor.record_stream(current)  # else the next batch could be put in its memory too soon
        return parcel.tensor

    def _here(self) -> AbstractContextManager[object]:
        if self._stream is None:
            return nullcontext()
        # A new thread's device is the first, where even pinned memory would set up a context of its own.
        with ExitStack() as stack:
            stack.enter_context(torch.cuda.device(self.device))
            stack.enter_context(torch.cuda.stream(self._stream))
            return stack.pop_all()


class Standardise(nn.Module):
    """Raw pixels (B, C, H, W) of any number type to float32 of mean 0 and deviation 1 a band.

    Mean and deviation are saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """For encoders: a NaN or infinite pixel counts as the mean."""
        values = (pixels.to(torch.float32, memory_format=torch.channels_last) - self.mean) / self.std
        return values.nan_to_num(0.0, 0.0, 0.0) if pixels.is_floating_point() else values

    def clipped(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """For segmenters: within six deviations; 0, the mean, where `valid` (B, H, W) is not."""
        values = ((pixels.float() - self.mean) / self.std).clamp(-_CLIP, _CLIP)
        return torch.where(valid[:, None], values, 0.0)


@dataclass(frozen=True)
class Pixels:
    """The pixels of the tiles in use: on the device, as stored, when they fit there.

    They are then read once, in order, by a thread, and batches that come sooner are gathered; of a
    virtual tile set the strips of scenes that hold them are read so, and waited for. Tiles that do not
    fit are gathered by a thread that runs one step ahead: from the memory map or, of a virtual tile
    set, from scenes, which is quick while these fit into memory and else costs, for each tile, the
    scene's blocks around it (see `sources`).
    """

    tiles: TileSet
    ids: Ints  # (U,) positions in the tile set; a tile is known here by its number among these
    device: torch.device
    resident: Resident | None = field(repr=False)
    dtype: torch.dtype

    @classmethod
    def of(
        cls, tiles: TileSet, ids: Ints, device: torch.device, sharers: int = 1, *, often: bool = True
    ) -> Pixels:
        """`sharers`: how many processes do the same in this memory. `often`: whether tiles are read more
        than once or twice; where not, those that are stored stay in their files.

        Raises DataError for pixels that are no real numbers.
        """
        if tiles.dtype.kind not in "uif":
            raise DataError(f"{tiles.path}: its pixels are {tiles.dtype}; real numbers are needed.")
        dtype = torch.from_numpy(np.empty(0, tiles.dtype)).dtype
        size = len(ids) * math.prod(tiles.shape[1:]) * tiles.dtype.itemsize
        resident, virtual = None, tiles.settings["virtual"]
        if (often or virtual) and size < free_memory(device) // (2 * sharers):
            resident = Resident(
                torch.empty((len(ids), *tiles.shape[1:]), dtype=indexable(dtype), device=device)
            )
            if virtual:
                resident.fill(tiles, ids)
            else:
                resident.start(tiles, ids)
        return cls(tiles, ids, device, resident, dtype)

    def stream(self, numbers: Iterable[Ints], share: slice = slice(None)) -> Iterator[tuple[Ints, Tensor]]:
        """Yield each of these (B, K) arrays of tiles with its pixels (K B, C, S, S), column after column.

        The pixels are on the device, as stored; they are those of the array's `share` of rows alone.
        """
        if self.resident is not None:
            for batch in numbers:
                rows = batch[share].T.ravel()
                if self.resident.holds(rows):
                    found = self.resident.pixels.index_select(0, sent(torch.from_numpy(rows), self.device))
                    yield batch, found.view(self.dtype)
                else:
                    yield batch, self._gather(rows).to(self.device)
        else:
            courier = Courier(self.device)
            parcels = ((batch, courier.send(self._gather(batch[share].T.ravel()))) for batch in numbers)
            for batch, parcel in ahead(parcels):
                yield batch, courier.receive(parcel)

    def _gather(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(self.tiles.pixels(self.ids[numbers]))


class Resident:
    """Pixels on the device, from the first tile on as far as they are read."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels  # (U, C, S, S)
        self.error: Exception | None = None  # what kept the rest from being read
        self._count = 0  # of the tiles that are there
        # Filled by numpy: torch's threads would be a second set, and in the way.
        self._host = pixels.numpy() if pixels.device.type == "cpu" else None

    def holds(self, numbers: Ints) -> bool:
        """Whether these tiles are there. Raises what kept them from being read."""
        if self.error is not None:
            raise self.error
        return self._count == len(self.pixels) or int(numbers.max(initial=-1)) < self._count

    def start(self, tiles: TileSet, ids: Ints) -> None:
        """Fill in a thread, which ends when nobody needs it any more."""
        threading.Thread(target=_fill, args=(weakref.ref(self), tiles, ids), daemon=True).start()

    def fill(self, tiles: TileSet, ids: Ints) -> None:
        for pixels in _read(tiles, ids):
            self.append(pixels)

    def append(self, pixels: NDArray[Any]) -> None:
        start, stop = self._count, self._count + len(pixels)
        if self._host is not None:
            self._host[start:stop] = pixels.view(self._host.dtype)
        else:
            found = torch.from_numpy(pixels).view(self.pixels.dtype)
            self.pixels[start:stop] = found.to(self.pixels.device)
        self._count = stop


def _read(tiles: TileSet, ids: Ints) -> Iterator[NDArray[Any]]:
    for start in range(0, len(ids), _CHUNK):
        yield tiles.pixels(ids[start : start + _CHUNK])


def _fill(wanted: weakref.ref[Resident], tiles: TileSet, ids: Ints) -> None:
    try:
        for pixels in _read(tiles, ids):
            resident = wanted()
            if resident is None:
                return
            resident.append(pixels)
            del resident  # not kept alive while the next ones are read
    except Exception as error:
        if (resident := wanted()) is not None:
            resident.error = error


def indexable(dtype: torch.dtype) -> torch.dtype:
    """Of the same size, with the kernels that torch leaves out for unsigned types."""
    return _UNSIGNED.get(dtype, dtype)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items, made by a thread of its own that keeps two ready.

    Whoever stops early goes on when the thread has ended, lest what it reads be closed meanwhile: for
    GDAL, that is a segmentation fault.
    """
    ready: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=2)
    done = threading.Event()

    def put(item: Item | BaseException | None) -> None:
        while not done.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if done.is_set():
                    return
            put(None)
        except BaseException as error:  # raised again where the items are used
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        done.set()
        if thread.ident is not None:  # a signal may have come before its start
            thread.join(_GRACE_S)


def normalisation(tiles: TileSet, ids: Ints) -> tuple[list[float], list[float]]:
    """Mean and deviation of each band over the pixels of these tiles, or of 10,000 spread among them.

    Pixels that are no number are left out; a band that is the same everywhere has deviation 1.
    """
    chosen = ids[np.linspace(0, len(ids) - 1, min(len(ids), _SAMPLE)).astype(np.int64)]
    count, total, squares = (np.zeros(tiles.shape[1]) for _ in range(3))
    shift: NDArray[Any] | float = 0.0  # the first chunk's mean, lest large values cancel in the squares
    for start in range(0, len(chosen), _CHUNK):
        values = tiles.pixels(chosen[start : start + _CHUNK]).astype(np.float64)
        known = np.isfinite(values)
        if not start:
            counts = np.maximum(known.sum(axis=(0, 2, 3)), 1)
            shift = (np.where(known, values, 0).sum(axis=(0, 2, 3)) / counts)[:, None, None]
        values = np.where(known, values - shift, 0)
        count += known.sum(axis=(0, 2, 3))
        total += values.sum(axis=(0, 2, 3))
        squares += np.square(values).sum(axis=(0, 2, 3))
    if not count.all():
        raise DataError(f"{tiles.path}: band {int(np.argmin(count)) + 1} of its tiles holds no valid number.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return (mean + np.ravel(shift)).tolist(), np.where(std > 0, std, 1.0).tolist()
