// The kernels for 64-bit ARM (NEON).
#define KETGRAD_VECTOR_BYTES 16
#include "kernels.inc.hpp"

namespace ketgrad {

extern const Kernels kernels_neon;
const Kernels kernels_neon{"neon", make_table<float>(), make_table<double>(), anneal_table()};

}  // namespace ketgrad
