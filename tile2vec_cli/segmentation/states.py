"""What is known of a pixel or a tile: 1 is of the class, 0 is not, UNKNOWN has no label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 255

States = NDArray[np.uint8]
