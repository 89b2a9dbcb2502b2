"""Tensors on their way to the device.

A copy from ordinary memory has the CPU wait until a GPU has done all that it was asked for; from
pinned memory it does not. On a CPU all of this comes to nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor


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
