// Measurements of states as Python sees them: interleaved complex rows of 2^n.
#pragma once

#include <cstdint>
#include <vector>

#include "engine.hpp"

namespace ketgrad {

// out (rows, 2^k): probabilities of the listed bits, the first the most significant bit of the outcome.
template <typename Real>
void probabilities(const Real* states, std::uint64_t rows, int n_bits, const std::vector<int>& bits, double* out,
                   const Poll& poll);

// out (rows, shots): for each uniform u the smallest index whose cumulative probability exceeds u times the norm.
// Sums are over blocks of kSampleBlock amplitudes, then over blocks, in order.
template <typename Real>
void sample(const Real* states, std::uint64_t rows, int n_bits, const double* uniforms, std::uint64_t shots,
            std::uint64_t* out, const Poll& poll);

inline constexpr std::uint64_t kSampleBlock = 256;

}  // namespace ketgrad
