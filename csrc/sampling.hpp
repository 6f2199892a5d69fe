// Measurements of states as Python sees them: interleaved complex rows of 2^n.
#pragma once

#include <cstdint>
#include <vector>

#include "engine.hpp"

namespace ketgrad {

// In all of them the first of the listed bits is the most significant of an outcome.

// out (rows, 2^k): probabilities of the outcomes of the listed bits.
template <typename Real>
void probabilities(const Real* states, std::uint64_t rows, int n_bits, const std::vector<int>& bits, double* out,
                   const Poll& poll);

// out (rows, shots): for each uniform u the outcome at the smallest index whose cumulative probability exceeds u times
// the norm. Sums are over short blocks of amplitudes, then over blocks, in order.
template <typename Real>
void sample(const Real* states, std::uint64_t rows, int n_bits, const double* uniforms, std::uint64_t shots,
            const std::vector<int>& bits, std::uint64_t* out, const Poll& poll);

// The outcomes that occurred, ascending, and how often each.
struct Tally {
  std::vector<std::uint64_t> outcomes, counts;
};

// For each row the tally of what `sample` draws.
template <typename Real>
std::vector<Tally> counts(const Real* states, std::uint64_t rows, int n_bits, const double* uniforms,
                          std::uint64_t shots, const std::vector<int>& bits, const Poll& poll);

}  // namespace ketgrad
