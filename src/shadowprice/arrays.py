"""The array types that every room speaks of: columns of numbers, in numpy's 64-bit types."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Records = npt.NDArray[np.void]  # a table: an array of rows with named columns
