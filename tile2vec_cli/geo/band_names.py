"""What files call their bands, and whether two of them mean the same by their order."""

from __future__ import annotations

from collections.abc import Sequence

Names = tuple[str | None, ...]


def agree(found: Names, wanted: Names) -> bool:
    """Whether no band is called otherwise than the one in its place, as far as both have names."""
    if is_known(found) and is_known(wanted):
        return _plain(found) == _plain(wanted)
    both = zip(_plain(found), _plain(wanted), strict=False)
    return all(one == other for one, other in both if one and other)


def is_known(names: Names) -> bool:
    """Whether every band has a name."""
    return bool(names) and all(_plain(names))


def numbers(names: Names, wanted: Names) -> list[int] | None:
    """Where in `names`, from 1, the wanted ones stand; None where one is missing or there twice."""
    plain = _plain(names)
    if not is_known(wanted) or any(plain.count(name) != 1 for name in _plain(wanted)):
        return None
    return [plain.index(name) + 1 for name in _plain(wanted)]


def listed(names: Sequence[object]) -> str:
    return ", ".join("?" if name is None else str(name) for name in names)


def _plain(names: Names) -> list[str]:
    return [(name or "").strip().casefold() for name in names]
