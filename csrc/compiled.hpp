// A program turned into kernel operands for one of the two ways of laying out states. Done once per plan and mode.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bits.hpp"
#include "buffer.hpp"
#include "dense_operand.hpp"
#include "instruction.hpp"
#include "kernels.hpp"
#include "terms.hpp"

namespace ketgrad {

// What a plan was made from. Every word was checked by `validate`.
struct Source {
  std::vector<Instruction> instructions;
  std::vector<double> pool;
  std::vector<Term> terms;
  int n_bits = 0;
  int n_shared = 0;
  int n_per_sample = 0;
};

// Whether it begins with amplitudes of its own.
inline bool starts_prepared(const Source& source) {
  return !source.instructions.empty() && static_cast<Opcode>(source.instructions[0].opcode) == Opcode::Prepare;
}

// Throws std::invalid_argument unless every mask, slot and payload stays inside its array.
void validate(const Source& source);

enum class Kind : std::uint8_t { Pair, Permute, Diagonal, Mix, Dense, Table, Prepare };

// Whether a step of this kind takes cosine and sine of an angle.
inline bool has_rotor(Kind kind) { return kind == Kind::Pair || kind == Kind::Diagonal; }

// One step of a compiled program: which kernel, which operand, and where its angle comes from.
struct Step {
  Kind kind;
  bool half;             // the rotor turns by half the angle
  std::int32_t operand;  // index into the vector of its kind
  std::int32_t slot;
  double scale, offset;
  double slope;  // d value / d angle = slope * (what the reverse kernel sums)
};

// The diagonal of an EXP_DIAG: its distinct values, and which of them each entry has.
template <typename Real>
struct TableValues {
  std::vector<std::uint32_t> which;
  std::vector<double> values;
  std::vector<Real> weights;  // the values again, in the state's precision
};

// A DIAG has phases of its own; those of an EXP_DIAG depend on the angle of a call.
template <typename Real>
struct TableOperand {
  TableOp<Real> op;
  std::shared_ptr<const TableValues<Real>> diagonal;  // of all with the same payload; null: a DIAG
  std::vector<Real> phases;
};

template <typename Real>
struct Compiled {
  Layout layout;
  std::vector<Step> steps;
  std::vector<GateOp<Real>> gates;
  std::vector<MixOp<Real>> mixes, inverse_mixes;
  std::vector<DenseOperand<Real>> denses;
  std::vector<TableOperand<Real>> tables;
  std::size_t dense_scratch = 0;  // bytes
  Terms<Real> terms;

  // `terms`: those of the source, or what they are in another order of the basis.
  Compiled(const Source& source, const std::vector<Term>& terms, int lane_bits);
};

extern template struct Compiled<float>;
extern template struct Compiled<double>;

}  // namespace ketgrad
