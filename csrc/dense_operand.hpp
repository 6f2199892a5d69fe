// Matrices as operands of kernels: the one of a DENSE, or those of a KRAUS, of which each lane chooses one.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bits.hpp"
#include "instruction.hpp"
#include "kernels.hpp"
#include "layout.hpp"

namespace ketgrad {

// How a step is applied. The last two differ where a matrix is not unitary: a sweep back takes bras by the adjoint, and
// the ket by what undoes the step.
enum class Way : std::uint8_t { Forward, Adjoint, Undo };

// Which matrix each lane takes.
template <typename Real>
using Chosen = std::array<std::uint8_t, kLanes<Real>>;

template <typename Real>
class DenseOperand {
 public:
  DenseOp<Real> op{};  // where it acts; its coefficients are those of a pick
  std::vector<std::uint64_t> offsets;
  std::vector<int> lane_xors;

  // A checked DENSE or KRAUS.
  DenseOperand(const Instruction& in, const double* pool, const Layout& layout);

  // The slot that chooses, or -1, and what a value of it comes to.
  int slot() const { return slot_; }
  std::uint8_t choice(double value) const;
  // In bytes, for one call of the kernel.
  std::size_t scratch() const;

  // Gives `out`, which has this operand's place, the matrices of the lanes; `memory` may hold them. False: all of them
  // are the identity.
  bool pick(const Chosen<Real>& chosen, Way way, DenseOp<Real>& out, std::vector<Real>& memory) const;

 private:
  std::vector<Real> coefficients(const Instruction& in, const double* matrix, const Layout& layout, bool adjoint) const;

  std::vector<std::vector<Real>> of_[3];  // by way, of each matrix; none to undo with: the adjoint does
  std::vector<bool> identity_;
  int slot_ = -1;
  double scale_ = 0, offset_ = 0;
};

extern template class DenseOperand<float>;
extern template class DenseOperand<double>;

}  // namespace ketgrad
