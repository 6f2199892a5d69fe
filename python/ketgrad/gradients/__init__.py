"""Derivatives of a model's outputs: two engines, `adjoint` and `parameter_shift`, that know nothing of each other.

`second_order` shifts the angles of adjoint sweeps.
"""
