// Circuits that differ from a program in one angle: what parameter-shift rules ask for, for a batch of samples.
//
// The final state is a trigonometric polynomial of each angle. So a few shifts of one instruction, its *nodes*, and the
// circuit as it is give every other shift as a sum of their final states; and a node is the circuit as it is up to its
// instruction. A row is one shifted circuit, its expectation values or shots from its own distribution.
#pragma once

#include <cstdint>
#include <memory>

#include "engine.hpp"

namespace ketgrad {

inline constexpr int kMaxShiftBits = 13;  // a tile of 2^13 groups is 1 MiB
inline constexpr int kMaxNodes = 2;

struct ShiftRequest {
  std::uint64_t bundles;
  const std::int64_t* instruction;  // (bundles,)
  const std::int64_t* nodes;        // (bundles,): how many, 1 to kMaxNodes
  const double* shifts;             // (bundles, kMaxNodes)
  std::uint64_t rows;
  const std::int64_t* bundle;  // (rows,)
  const double* weights;       // (rows, 1 + kMaxNodes) complex numbers: of the circuit as it is, and of the nodes
};

// What is measured of each row: some bits after a change of basis, and the values of some outputs for each outcome.
struct ShotSetting {
  std::uint64_t x_bits, y_bits;  // measured in X and in Y
  std::uint64_t measured;        // all measured bits; an outcome has them together, in their order
  std::uint64_t outputs;
  const double* table;  // (outputs, 2^(number of measured bits))
};

// Outcomes are those for which `sample` would draw them: see sampling.hpp.
struct ShotRequest {
  std::vector<ShotSetting> settings;
  const std::int64_t* shots;  // (size, rows, settings), each at least 1
  const double* uniforms;     // as many as there are shots, in that order
};

class Shifts {
 public:
  virtual ~Shifts() = default;

  // values (size, rows, terms).
  virtual void values(const Batch& batch, const ShiftRequest& request, double* values, const Poll& poll) const = 0;

  // Mean and variance (with n - 1; 0 for one shot) of the drawn values of every output of every setting: (size, rows,
  // outputs of all settings).
  virtual void moments(const Batch& batch, const ShiftRequest& request, const ShotRequest& shots, double* mean,
                       double* variance, const Poll& poll) const = 0;
};

// Throws std::invalid_argument for a source that `validate` refuses, or with more than kMaxShiftBits qubits.
std::unique_ptr<Shifts> make_shifts(Source source, bool double_precision);

}  // namespace ketgrad
