#include "dense_operand.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>

namespace ketgrad {

namespace {

bool is_identity(const double* matrix, u64 size) {
  for (u64 r = 0; r < size; ++r)
    for (u64 c = 0; c < size; ++c)
      if (matrix[2 * (r * size + c)] != (r == c) || matrix[2 * (r * size + c) + 1] != 0) return false;
  return true;
}

}  // namespace

template <typename Real>
DenseOperand<Real>::DenseOperand(const Instruction& in, const double* pool, const Layout& layout) {
  const u64 hi = layout.hi(in.x_mask), lo = layout.lo(in.x_mask);
  const u64 controls = layout.hi(in.ctrl_mask) | hi;
  op.n_hi = 1 << std::popcount(hi);
  op.n_lo = 1 << std::popcount(lo);
  op.per_lane = lo != 0 || layout.lo(in.ctrl_mask) != 0;
  op.index = {controls, layout.hi(in.ctrl_value), layout.groups >> std::popcount(controls)};
  for (int c = 0; c < op.n_hi; ++c) offsets.push_back(deposit_bits(static_cast<u64>(c), hi));
  for (int p = 0; p < op.n_lo; ++p) lane_xors.push_back(static_cast<int>(deposit_bits(static_cast<u64>(p), lo)));
  op.offsets = offsets.data();
  op.lane_xors = lane_xors.data();

  const bool several = static_cast<Opcode>(in.opcode) == Opcode::Kraus;
  const u64 count = several ? in.t0 : 1, words = u64{2} << (2 * in.k);
  if (several) {
    slot_ = in.slot;
    scale_ = in.scale;
    offset_ = in.offset;
  }
  for (u64 m = 0; m < count; ++m) {
    const double* matrix = pool + in.payload + m * words;
    of_[0].push_back(coefficients(in, matrix, layout, false));
    of_[1].push_back(coefficients(in, matrix, layout, true));
    if (several) of_[2].push_back(coefficients(in, matrix + count * words, layout, false));
    identity_.push_back(several && is_identity(matrix, u64{1} << in.k));
  }
}

template <typename Real>
std::vector<Real> DenseOperand<Real>::coefficients(const Instruction& in, const double* matrix, const Layout& layout,
                                                   bool adjoint) const {
  constexpr int lanes = kLanes<Real>;
  const u64 lo = layout.lo(in.x_mask);
  const int k_lo = std::popcount(lo);
  std::vector<Real> out;
  for (int r = 0; r < op.n_hi; ++r)
    for (int c = 0; c < op.n_hi; ++c)
      for (int p = 0; p < op.n_lo; ++p) {
        Real re[lanes], im[lanes];
        for (int l = 0; l < lanes; ++l) {
          const u64 lane = layout.lo(static_cast<u64>(l));
          const u64 row_lo = extract_bits(lane, lo);
          u64 row = (static_cast<u64>(r) << k_lo) | row_lo;
          u64 column = (static_cast<u64>(c) << k_lo) | (row_lo ^ static_cast<u64>(p));
          std::complex<double> m = r == c && p == 0 ? 1.0 : 0.0;
          if ((lane & layout.lo(in.ctrl_mask)) == layout.lo(in.ctrl_value)) {
            if (adjoint) std::swap(row, column);
            const double* entry = matrix + 2 * ((row << in.k) + column);
            m = {entry[0], adjoint ? -entry[1] : entry[1]};
          }
          re[l] = static_cast<Real>(m.real());
          im[l] = static_cast<Real>(m.imag());
        }
        const int copies = op.per_lane ? lanes : 1;
        out.insert(out.end(), re, re + copies);
        out.insert(out.end(), im, im + copies);
      }
  return out;
}

template <typename Real>
std::uint8_t DenseOperand<Real>::choice(double value) const {
  const double wanted = std::round(offset_ + scale_ * value);  // whatever it is, there is such a matrix
  return static_cast<std::uint8_t>(wanted > 0 ? std::min(wanted, static_cast<double>(of_[0].size() - 1)) : 0);
}

template <typename Real>
std::size_t DenseOperand<Real>::scratch() const {
  return sizeof(Real) * 2 * kLanes<Real> * static_cast<std::size_t>(op.n_hi) * static_cast<std::size_t>(op.n_lo);
}

template <typename Real>
bool DenseOperand<Real>::pick(const Chosen<Real>& chosen, Way way, DenseOp<Real>& out,
                              std::vector<Real>& memory) const {
  constexpr std::size_t lanes = kLanes<Real>;
  const auto& from = of_[way == Way::Undo && of_[2].empty() ? 1 : static_cast<std::size_t>(way)];
  if (std::all_of(chosen.begin(), chosen.end(), [&](std::uint8_t c) { return c == chosen[0]; })) {
    out.coefficients = from[chosen[0]].data();
    return !identity_[chosen[0]];
  }
  if (std::all_of(chosen.begin(), chosen.end(), [&](std::uint8_t c) { return identity_[c]; })) return false;
  memory.resize(from[0].size() * lanes);  // only where lanes are samples: a number for each lane
  for (std::size_t l = 0; l < lanes; ++l) {
    const Real* own = from[chosen[l]].data();
    for (std::size_t i = 0; i < from[0].size(); ++i) memory[i * lanes + l] = own[i];
  }
  out.coefficients = memory.data();
  out.per_lane = true;
  return true;
}

template class DenseOperand<float>;
template class DenseOperand<double>;

}  // namespace ketgrad
