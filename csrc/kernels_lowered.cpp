// The kernels in the width of AVX-512, left to the compiler to carry out with AVX2: what runs where AVX-512 cannot is
// the same source, unrolled in the same way. For tests; never the default.
#define KETGRAD_VECTOR_BYTES 64
#include "kernels.inc.hpp"

namespace ketgrad {

extern const Kernels kernels_lowered;
const Kernels kernels_lowered{"avx512-lowered", make_table<float>(), make_table<double>(), anneal_table()};

}  // namespace ketgrad
