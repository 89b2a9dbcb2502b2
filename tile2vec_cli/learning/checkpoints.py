"""What a stopped training run resumes from.

A checkpoint is a model folder (`models.py`) that also holds the heads that are trained beside the
encoder (`heads.py`), Adam's moments and the state of the loop, so that the weights of a run that
was given up can be used as they are. No generator's state is in it: what is random follows from the
seed and the step (`draws.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from tile2vec_cli.errors import DataError
from tile2vec_cli.learning.optimise import Course
from tile2vec_cli.neural import models
from tile2vec_cli.outputs.parts import new_folder, read_json, write_json

FORMAT = "tile2vec-checkpoint/1"
_STATE = "state.json"
_MOMENTS = "adam.safetensors"
_BEST = "best.safetensors"
_HEADS = "heads.safetensors"
_NAMES = ("exp_avg", "exp_avg_sq")


@dataclass
class State(Course):
    """Where the loop stands. An epoch is closed when its validation is done."""

    best_loss: float | None = None  # least validation loss
    epochs_without_better: int = 0
    metrics: list[dict[str, Any]] = field(default_factory=list)  # one line per epoch


def save(
    path: Path,
    model: models.Description,
    encoder: nn.Module,
    optimizer: Adam,
    state: State,
    best: dict[str, Tensor] | None,
    heads: nn.Module | None = None,
) -> None:
    with new_folder(path) as folder:
        models.write(folder, model, encoder.state_dict(), state.metrics)
        models.write_tensors(folder / _MOMENTS, _moments(_trained(encoder, heads), optimizer))
        if heads is not None and heads.state_dict():
            models.write_tensors(folder / _HEADS, heads.state_dict())
        if best is not None:
            models.write_tensors(folder / _BEST, best)
        write_json(folder / _STATE, {"format": FORMAT, **asdict(state)})


def restore(
    path: Path, encoder: nn.Module, optimizer: Adam, heads: nn.Module | None = None
) -> tuple[State, dict[str, Tensor] | None]:
    """Fill encoder, heads and optimizer from a checkpoint.

    Returns the loop's state and the encoder's best weights so far.
    """
    saved = read_json(path / _STATE, FORMAT)
    saved.pop("format")
    try:
        state = State(**saved)
    except TypeError as error:
        raise DataError(
            f"{path / _STATE}: {error}; not this version's. Use --overwrite to start anew."
        ) from error
    encoder.load_state_dict(models.read_tensors(path / models.WEIGHTS, encoder.state_dict()))
    if heads is not None and heads.state_dict():
        heads.load_state_dict(models.read_tensors(path / _HEADS, heads.state_dict()))
    if state.step:
        parameters = _trained(encoder, heads)
        expected = {f"{moment}.{name}": parameters[name] for name in parameters for moment in _NAMES}
        moments = models.read_tensors(path / _MOMENTS, expected)
        for name, parameter in parameters.items():
            # Copied, so that they lie in memory as the parameter does: the fused kernel trusts in that.
            optimizer.state[parameter] = {
                "step": torch.tensor(float(state.step), device=parameter.device),
                **{m: torch.empty_like(parameter).copy_(moments[f"{m}.{name}"]) for m in _NAMES},
            }
    if not (path / _BEST).exists():
        return state, None
    return state, models.read_tensors(path / _BEST, encoder.state_dict())


def _trained(encoder: nn.Module, heads: nn.Module | None) -> dict[str, nn.Parameter]:
    found = dict(encoder.named_parameters())
    if heads is not None:
        found |= {f"heads.{name}": parameter for name, parameter in heads.named_parameters()}
    return found


def _moments(parameters: dict[str, nn.Parameter], optimizer: Adam) -> dict[str, Tensor]:
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in parameters.items()
        for moment in _NAMES
        if parameter in optimizer.state  # empty before the first step
    }
