"""The array types that every room speaks of: columns of numbers, in numpy's 64-bit types."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
RecordArray = npt.NDArray[np.void]
