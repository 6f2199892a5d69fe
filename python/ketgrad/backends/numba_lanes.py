"""`Lanes`: 64 bytes of real numbers as one value inside Numba kernels, so that a loop over groups needs no vectoriser.

Owns: the type, its arithmetic, how it is read from and written to arrays, and the exchange of its positions. May not
know: states, gates. LLVM splits a value over as many registers as the processor needs.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

BYTES = 64


class Lanes(types.Type):
    """16 float32 or 8 float64."""

    def __init__(self, element):
        self.element, self.count = element, BYTES * 8 // element.bitwidth
        super().__init__(f"Lanes({element})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        element = ir.FloatType() if lanes.element == types.float32 else ir.DoubleType()
        super().__init__(manager, lanes, ir.VectorType(element, lanes.count))


def _pointer(context, builder, signature, args):
    """To the lanes of a one-dimensional contiguous array from position args[1] on."""
    array = signature.args[0]
    data = cgutils.create_struct_proxy(array)(context, builder, args[0]).data
    vector = context.get_value_type(Lanes(array.dtype))
    return builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())


@intrinsic
def load(_context, array, _position):
    """array[position : position + count]."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.int64), codegen


@intrinsic
def store(_context, array, _position, lanes):
    """array[position : position + count] = lanes."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.int64, lanes), codegen


@intrinsic
def zeros(_context, array):
    """Of the array's dtype."""
    lanes = Lanes(array.dtype)

    def codegen(context, _builder, _signature, _args):
        return ir.Constant(context.get_value_type(lanes), None)

    return lanes(array), codegen


def _shuffle(builder, first, second, positions):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(positions)), positions)
    return builder.shuffle_vector(first, second, mask)


def _shuffling(positions):
    """A function of two Lanes that picks positions(count) out of both, one after the other."""

    @intrinsic
    def shuffle(_context, first, second):
        def codegen(_context, builder, _signature, args):
            return _shuffle(builder, args[0], args[1], positions(first.count))

        return first(first, second), codegen

    return shuffle


evens = _shuffling(lambda count: list(range(0, 2 * count, 2)))
odds = _shuffling(lambda count: list(range(1, 2 * count, 2)))
zip_low = _shuffling(lambda count: [k // 2 + count * (k % 2) for k in range(count)])
zip_high = _shuffling(lambda count: [(k + count) // 2 + count * (k % 2) for k in range(count)])
# position l takes from l ^ 1, 2, 4, 8; the last stays where it is if there are but 8
FLIPS = tuple(_shuffling(lambda count, bit=bit: [k ^ bit % count for k in range(count)]) for bit in (1, 2, 4, 8))


def _arithmetic(operation, instruction):
    @intrinsic
    def apply(_context, a, b):
        def codegen(_context, builder, _signature, args):
            return getattr(builder, instruction)(*args, flags=("contract",))

        return a(a, b), codegen

    @overload(operation)
    def of_lanes(a, b):
        if isinstance(a, Lanes) and a == b:
            return lambda a, b: apply(a, b)
        return None


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
