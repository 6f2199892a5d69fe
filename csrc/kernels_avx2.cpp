// The kernels for x86-64-v3 (AVX2 and FMA).
#define KETGRAD_VECTOR_BYTES 32
#include "kernels.inc.hpp"

namespace ketgrad {

extern const Kernels kernels_avx2;
const Kernels kernels_avx2{"avx2", make_table<float>(), make_table<double>(), anneal_table()};

}  // namespace ketgrad
