// The kernels for x86-64-v4 (AVX-512).
#define KETGRAD_VECTOR_BYTES 64
#include "kernels.inc.hpp"

namespace ketgrad {

extern const Kernels kernels_avx512;
const Kernels kernels_avx512{"avx512", make_table<float>(), make_table<double>(), anneal_table()};

}  // namespace ketgrad
