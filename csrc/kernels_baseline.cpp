// The kernels for any processor this package supports.
#define KETGRAD_VECTOR_BYTES 16
#include "kernels.inc.hpp"

namespace ketgrad {

extern const Kernels kernels_baseline;
const Kernels kernels_baseline{"baseline", make_table<float>(), make_table<double>(), anneal_table()};

}  // namespace ketgrad
