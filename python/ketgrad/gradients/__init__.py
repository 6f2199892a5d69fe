"""Gradients of a model's outputs: two engines, `adjoint` and `parameter_shift`, that know nothing of each other."""
