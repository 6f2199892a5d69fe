#include "compiled.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>

namespace ketgrad {

namespace {

[[noreturn]] void refuse(std::size_t index, const char* rule) {
  throw std::invalid_argument("instruction " + std::to_string(index) + ": " + rule);
}

}  // namespace

void validate(const Source& s) {
  if (s.n_bits < 1 || s.n_bits > kMaxBits) throw std::invalid_argument("a program has 1 to 62 qubits");
  if (!std::all_of(s.pool.begin(), s.pool.end(), [](double v) { return std::isfinite(v); }))
    throw std::invalid_argument("the pool has numbers that are not finite");
  if (s.n_shared < 0 || s.n_per_sample < 0) throw std::invalid_argument("slot counts are not negative");
  const u64 outside = ~low_ones(s.n_bits);
  for (std::size_t i = 0; i < s.instructions.size(); ++i) {
    const Instruction& in = s.instructions[i];
    if ((in.x_mask | in.z_mask | in.ctrl_mask | in.ctrl_value) & outside) refuse(i, "a mask has a bit out of range");
    if (in.ctrl_value & ~in.ctrl_mask && in.opcode != static_cast<int>(Opcode::PairRot))
      refuse(i, "a control value outside the controls");
    if (in.slot < -1 || in.slot >= s.n_shared + s.n_per_sample) refuse(i, "the slot is out of range");
    const auto opcode = static_cast<Opcode>(in.opcode);
    if (in.slot >= 0 && opcode != Opcode::Phase && opcode != Opcode::PauliRot && opcode != Opcode::PairRot &&
        opcode != Opcode::ExpDiag && opcode != Opcode::Kraus)
      refuse(i, "only an angle or a choice has a slot");
    if (!std::isfinite(in.scale) || !std::isfinite(in.offset)) refuse(i, "the angle is not finite");
    u64 targets = in.x_mask | in.z_mask, words = 0;
    switch (static_cast<Opcode>(in.opcode)) {
      case Opcode::Prepare:
        if (i != 0) refuse(i, "a state is prepared first");
        if (in.ctrl_mask) refuse(i, "a state is prepared without controls");
        if (in.k > s.n_bits) refuse(i, "k is not the number of bits");
        words = u64{2} << in.k;
        break;
      case Opcode::Phase:
        if (targets) refuse(i, "a phase has controls only");
        break;
      case Opcode::Pauli:
      case Opcode::PauliRot:
        break;
      case Opcode::PairRot:
        if (!in.x_mask || (in.x_mask & ~in.ctrl_mask) || (in.x_mask & in.z_mask) || (in.ctrl_value & ~in.ctrl_mask))
          refuse(i, "a pair rotation controls the bits it flips");
        targets = in.z_mask & ~in.x_mask;
        break;
      case Opcode::Swap:
        if (in.t0 >= s.n_bits || in.t1 >= s.n_bits || in.t0 == in.t1 ||
            in.x_mask != ((u64{1} << in.t0) | (u64{1} << in.t1)))
          refuse(i, "a swap has two bits");
        break;
      case Opcode::Diag:
        if (in.k > kMaxTableBits) refuse(i, "a table has at most 30 bits");
        words = u64{2} << in.k;
        break;
      case Opcode::ExpDiag:
        if (in.k > kMaxTableBits) refuse(i, "a table has at most 30 bits");
        words = u64{1} << in.k;
        break;
      case Opcode::Dense:
        if (in.k > kMaxDenseBits) refuse(i, "a matrix has at most 12 bits");
        words = u64{2} << (2 * in.k);
        break;
      case Opcode::Kraus:
        if (in.k > kMaxKrausBits) refuse(i, "the matrices of a choice have at most 6 bits");
        if (in.t0 == 0 || in.ctrl_mask || (in.slot >= 0 && in.slot < s.n_shared))
          refuse(i, "matrices to choose from, without controls, for each sample");
        words = u64{4} * in.t0 << (2 * in.k);  // matrices, then inverses
        break;
      default:
        refuse(i, "unknown opcode");
    }
    if (targets & in.ctrl_mask && static_cast<Opcode>(in.opcode) != Opcode::PairRot)
      refuse(i, "a bit is both target and control");
    if (words) {
      const bool diagonal =
          in.opcode == static_cast<int>(Opcode::Diag) || in.opcode == static_cast<int>(Opcode::ExpDiag);
      if (std::popcount(diagonal ? in.z_mask : in.x_mask) != in.k || in.k == 0)
        refuse(i, "k is not the number of bits");
      if (in.payload < 0 || static_cast<u64>(in.payload) + words > s.pool.size())
        refuse(i, "the payload is out of range");
    }
  }
  for (std::size_t r = 0; r < s.terms.size(); ++r) {
    const Term& t = s.terms[r];
    if ((t.x_mask | t.z_mask | t.ctrl_mask | t.ctrl_value) & outside || t.ctrl_value & ~t.ctrl_mask ||
        t.ctrl_mask & (t.x_mask | t.z_mask))
      throw std::invalid_argument("term " + std::to_string(r) + ": a mask has a bit out of range");
  }
}

namespace {

// (-i)^m for m = 0..3 is 1, -i, -1, i: imaginary for odd m, with this sign.
int turn_sign(int m) { return (m & 3) == 0 || (m & 3) == 3 ? 1 : -1; }

template <typename Real>
class Builder {
 public:
  Builder(Compiled<Real>& out, const Source& source) : out_(out), source_(source) {}

  void step(const Instruction& in) {
    Step step{Kind::Diagonal, false, 0, in.slot, in.scale, in.offset, 2.0};
    switch (static_cast<Opcode>(in.opcode)) {
      case Opcode::Prepare:
        step.kind = Kind::Prepare;
        break;
      case Opcode::Phase:
        step.operand = add(diagonal(in, +1));
        break;
      case Opcode::Pauli:
        step.kind = Kind::Permute;
        step.operand = add(word(in, std::popcount(in.x_mask & in.z_mask)));
        break;
      case Opcode::PauliRot:
        step.half = true;
        step.slope = 1.0;
        if (in.x_mask == 0) {
          step.operand = add(diagonal(in, -1));
        } else {
          step.kind = Kind::Pair;
          step.operand = add(word(in, std::popcount(in.x_mask & in.z_mask) + 1));
        }
        break;
      case Opcode::PairRot:
        step.kind = Kind::Pair;
        step.half = true;
        step.slope = 1.0;
        step.operand = add(pattern(in, in.ctrl_mask, in.ctrl_value, -1));
        break;
      case Opcode::Swap:
        step.kind = Kind::Permute;
        step.operand = add(pattern(in, in.ctrl_mask | in.x_mask, in.ctrl_value | (u64{1} << in.t0), +1));
        break;
      case Opcode::Diag:
      case Opcode::ExpDiag:
        step.kind = Kind::Table;
        step.operand = static_cast<int>(out_.tables.size());
        table(in);
        break;
      case Opcode::Dense:
        if (in.k == 1) {
          step.kind = Kind::Mix;
          step.operand = static_cast<int>(out_.mixes.size());
          out_.mixes.push_back(mix(in, false));
          out_.inverse_mixes.push_back(mix(in, true));
          break;
        }
        [[fallthrough]];
      case Opcode::Kraus:
        step.kind = Kind::Dense;
        step.slot = -1;  // that of a choice is no angle
        step.operand = static_cast<int>(out_.denses.size());
        out_.denses.emplace_back(in, source_.pool.data(), out_.layout);
        out_.dense_scratch = std::max(out_.dense_scratch, out_.denses.back().scratch());
        break;
    }
    out_.steps.push_back(step);
  }

 private:
  static constexpr int lanes = kLanes<Real>;

  // In lanes mode every lane is a different sample at the same index.
  u64 lane_index(int lane) const { return out_.layout.lo(static_cast<u64>(lane)); }

  bool lane_matches(int lane, u64 mask, u64 value) const {
    return (lane_index(lane) & out_.layout.lo(mask)) == out_.layout.lo(value);
  }

  int lane_sign(int lane, u64 z) const { return sign_of(lane_index(lane) & out_.layout.lo(z)); }

  IndexMap index(u64 fixed, u64 value) const { return {fixed, value, out_.layout.groups >> std::popcount(fixed)}; }

  Form form_of(const GateOp<Real>& op) const {
    bool all = true, move = !op.imaginary && op.z_hi == 0;
    for (int l = 0; l < lanes; ++l) {
      const bool self = op.x_hi == 0;  // then there is no b
      all = all && op.act_a[l] == 1 && (self || op.act_b[l] == 1);
      move = move && op.unit_a[l] == 1 && (self || op.unit_b[l] == 1);
    }
    return !all ? Form::Full : move ? Form::Move : Form::OffDiagonal;
  }

  std::int32_t add(GateOp<Real> op) {
    op.form = form_of(op);
    out_.gates.push_back(op);
    return static_cast<std::int32_t>(out_.gates.size()) - 1;
  }

  GateOp<Real> empty(const Instruction& in) const {
    GateOp<Real> op{};
    op.x_hi = out_.layout.hi(in.x_mask);
    op.z_hi = out_.layout.hi(in.z_mask);
    op.x_lo = static_cast<int>(out_.layout.lo(in.x_mask));
    return op;
  }

  GateOp<Real> diagonal(const Instruction& in, int sign) const {
    GateOp<Real> op = empty(in);
    op.index = index(out_.layout.hi(in.ctrl_mask), out_.layout.hi(in.ctrl_value));
    for (int l = 0; l < lanes; ++l) {
      op.act_a[l] = lane_matches(l, in.ctrl_mask, in.ctrl_value);
      op.unit_a[l] = op.act_a[l] * static_cast<Real>(sign * lane_sign(l, in.z_mask));
    }
    return op;
  }

  // The word times (-i)^m / (its own (-i)^nY): entry (k, k ^ x) is (-i)^m (-1)^{|k & z|}.
  GateOp<Real> word(const Instruction& in, int m) const {
    GateOp<Real> op = empty(in);
    op.imaginary = m & 1;
    const u64 pivot = op.x_hi ? std::bit_floor(op.x_hi) : 0;
    op.index = index(out_.layout.hi(in.ctrl_mask) | pivot, out_.layout.hi(in.ctrl_value));
    const int across = sign_of(op.x_hi & op.z_hi);  // the sign is taken at the group with the pivot at 0
    for (int l = 0; l < lanes; ++l) {
      op.act_a[l] = op.act_b[l] = lane_matches(l, in.ctrl_mask, in.ctrl_value);
      op.unit_a[l] = op.act_a[l] * static_cast<Real>(turn_sign(m) * lane_sign(l, in.z_mask));
      op.unit_b[l] = op.unit_a[l] * static_cast<Real>(across);
    }
    return op;
  }

  // Couples the indices that match `value` on `mask` (which includes x_mask) with their flips; the flipped one gets
  // unit +1 and the matching one `own`.
  GateOp<Real> pattern(const Instruction& in, u64 mask, u64 value, int own) const {
    GateOp<Real> op = empty(in);
    op.index = index(out_.layout.hi(mask), out_.layout.hi(value));
    for (int l = 0; l < lanes; ++l) {
      const bool matching = lane_matches(l, mask, value), flipped = lane_matches(l, mask, value ^ in.x_mask);
      const Real sign = static_cast<Real>(lane_sign(l, in.z_mask));
      if (op.x_hi) {
        op.act_a[l] = matching;
        op.act_b[l] = flipped;
        op.unit_a[l] = matching ? sign * static_cast<Real>(own) : 0;
        op.unit_b[l] = flipped ? sign : 0;
      } else {
        op.act_a[l] = matching || flipped;
        op.unit_a[l] = matching ? sign * static_cast<Real>(own) : flipped ? sign : 0;
      }
    }
    return op;
  }

  std::complex<double> entry(const Instruction& in, u64 row, u64 column, bool inverse) const {
    if (inverse) std::swap(row, column);
    const double* p = source_.pool.data() + in.payload + 2 * ((row << in.k) + column);
    return {p[0], inverse ? -p[1] : p[1]};
  }

  MixOp<Real> mix(const Instruction& in, bool inverse) const {
    MixOp<Real> op{};
    op.x_hi = out_.layout.hi(in.x_mask);
    op.x_lo = static_cast<int>(out_.layout.lo(in.x_mask));
    op.index = index(out_.layout.hi(in.ctrl_mask) | op.x_hi, out_.layout.hi(in.ctrl_value));
    op.real = true;
    for (int side = 0; side < 2; ++side)
      for (int l = 0; l < lanes; ++l) {
        const u64 row = op.x_hi ? static_cast<u64>(side) : (lane_index(l) & out_.layout.lo(in.x_mask)) != 0;
        const bool active = lane_matches(l, in.ctrl_mask, in.ctrl_value);
        const std::complex<double> c = active ? entry(in, row, row, inverse) : 1.0;
        const std::complex<double> s = active ? entry(in, row, row ^ 1, inverse) : 0.0;
        op.c_re[side][l] = static_cast<Real>(c.real());
        op.c_im[side][l] = static_cast<Real>(c.imag());
        op.s_re[side][l] = static_cast<Real>(s.real());
        op.s_im[side][l] = static_cast<Real>(s.imag());
        op.real = op.real && c.imag() == 0 && s.imag() == 0;
      }
    return op;
  }

  void table(const Instruction& in) {
    out_.tables.emplace_back();
    TableOperand<Real>& operand = out_.tables.back();
    const double* p = source_.pool.data() + in.payload;
    const u64 size = u64{1} << in.k, lo = out_.layout.lo(in.z_mask);
    if (in.opcode == static_cast<int>(Opcode::ExpDiag)) {
      auto& known = diagonals_[{in.payload, in.k}];
      if (!known) known = diagonal_of(p, size);
      operand.diagonal = known;
    } else {
      operand.phases.assign(p, p + 2 * size);
    }
    operand.op.index = index(out_.layout.hi(in.ctrl_mask), out_.layout.hi(in.ctrl_value));
    operand.op.mask = out_.layout.hi(in.z_mask);
    operand.op.lane_count = std::popcount(lo);
    operand.op.which = operand.diagonal ? operand.diagonal->which.data() : nullptr;
    for (int l = 0; l < lanes; ++l) {
      operand.op.act[l] = lane_matches(l, in.ctrl_mask, in.ctrl_value);
      operand.op.lane_part[l] = static_cast<std::uint32_t>(extract_bits(lane_index(l), lo));
    }
  }

  static std::shared_ptr<const TableValues<Real>> diagonal_of(const double* p, u64 size) {
    auto out = std::make_shared<TableValues<Real>>();
    out->values.assign(p, p + size);
    std::sort(out->values.begin(), out->values.end());
    out->values.erase(std::unique(out->values.begin(), out->values.end()), out->values.end());
    out->values.shrink_to_fit();
    out->weights.assign(out->values.begin(), out->values.end());
    out->which.resize(size);
    for (u64 x = 0; x < size; ++x) {
      const auto at = std::lower_bound(out->values.begin(), out->values.end(), p[x]);
      out->which[x] = static_cast<std::uint32_t>(at - out->values.begin());
    }
    return out;
  }

  Compiled<Real>& out_;
  const Source& source_;
  std::map<std::pair<std::int32_t, int>, std::shared_ptr<const TableValues<Real>>> diagonals_;  // by payload and size
};

}  // namespace

template <typename Real>
Compiled<Real>::Compiled(const Source& source, const std::vector<Term>& observed, int lane_bits)
    : layout{lane_bits, u64{1} << (source.n_bits - lane_bits)},
      terms(observed, layout) {
  Builder<Real> builder(*this, source);
  steps.reserve(source.instructions.size());
  for (const Instruction& in : source.instructions) builder.step(in);
}

template struct Compiled<float>;
template struct Compiled<double>;

}  // namespace ketgrad
