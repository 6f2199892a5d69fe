"""scikit-learn estimators: the hybrid network (`hybrid`) and machines with quantum kernels (`kernel`).

Owns: scikit-learn's conventions, and nothing else.
"""

from .hybrid import HybridClassifier, HybridRegressor
from .kernel import QuantumKernel, QuantumKernelClassifier, QuantumKernelRegressor

__all__ = ["HybridClassifier", "HybridRegressor", "QuantumKernel", "QuantumKernelClassifier", "QuantumKernelRegressor"]
