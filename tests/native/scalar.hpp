// A program, one amplitude at a time: what the engine is compared with. Plain loops over complex numbers, from the
// meaning of the opcodes alone; nothing of the engine but its machine data.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "compiled.hpp"

namespace scalar {

using ketgrad::Instruction;
using ketgrad::Opcode;
using ketgrad::Source;
using ketgrad::Term;
using u64 = std::uint64_t;
using Complex = std::complex<double>;
using State = std::vector<Complex>;

inline double sign(u64 bits) { return std::popcount(bits) & 1 ? -1.0 : 1.0; }

inline Complex power_of_i(int n) { return std::polar(1.0, std::numbers::pi / 2 * n); }

// The bits of `value` under `mask`, packed.
inline u64 extract(u64 value, u64 mask) {
  u64 out = 0;
  for (int b = 0; mask; mask &= mask - 1) out |= static_cast<u64>((value & mask & -mask) != 0) << b++;
  return out;
}

// The entry of basis state i in a Pauli word times a state.
inline Complex word_at(const State& a, u64 x, u64 z, u64 i) {
  return power_of_i(std::popcount(x & z)) * sign((i ^ x) & z) * a[i ^ x];
}

// An instruction, or its derivative by its angle, applied to a state.
class Gate {
 public:
  Gate(const Source& source, const Instruction& in, double angle, bool derivative)
      : pool_(source.pool.data() + (in.payload > 0 ? in.payload : 0)),
        in_(in),
        angle_(angle),
        derivative_(derivative),
        c_(derivative ? -0.5 * std::sin(angle / 2) : std::cos(angle / 2)),
        s_(derivative ? 0.5 * std::cos(angle / 2) : std::sin(angle / 2)) {}

  State operator()(const State& a) const {
    State out(a.size());
    for (u64 i = 0; i < a.size(); ++i) out[i] = at(a, i);
    return out;
  }

 private:
  // e^{i angle d}
  Complex phase(double d) const { return std::polar(1.0, angle_ * d) * (derivative_ ? Complex(0, d) : Complex(1, 0)); }

  // Which of the matrices of a KRAUS.
  u64 chosen() const {
    if (static_cast<Opcode>(in_.opcode) != Opcode::Kraus) return 0;
    return static_cast<u64>(std::clamp(std::round(angle_), 0.0, in_.t0 - 1.0));
  }

  Complex entry(u64 x) const { return {pool_[2 * x], pool_[2 * x + 1]}; }

  Complex at(const State& a, u64 i) const {
    const bool active = (i & in_.ctrl_mask) == in_.ctrl_value;
    const Complex same = derivative_ ? 0.0 : a[i];
    switch (static_cast<Opcode>(in_.opcode)) {
      case Opcode::Prepare:
        return i & ~in_.x_mask ? 0.0 : entry(extract(i, in_.x_mask));
      case Opcode::Phase:
        return active ? phase(1) * a[i] : same;
      case Opcode::Pauli:
        return active ? word_at(a, in_.x_mask, in_.z_mask, i) : same;
      case Opcode::PauliRot:
        return active ? c_ * a[i] - Complex(0, s_) * word_at(a, in_.x_mask, in_.z_mask, i) : same;
      case Opcode::PairRot: {
        const bool partner = ((i ^ in_.x_mask) & in_.ctrl_mask) == in_.ctrl_value;
        if (!active && !partner) return same;
        return c_ * a[i] + (active ? -s_ : s_) * sign(i & in_.z_mask) * a[i ^ in_.x_mask];
      }
      case Opcode::Swap: {
        const bool differ = ((i >> in_.t0) ^ (i >> in_.t1)) & 1;
        return a[active && differ ? i ^ in_.x_mask : i];
      }
      case Opcode::Diag:
        return active ? entry(extract(i, in_.z_mask)) * a[i] : same;
      case Opcode::ExpDiag:
        return active ? phase(pool_[extract(i, in_.z_mask)]) * a[i] : same;
      case Opcode::Dense:
      case Opcode::Kraus: {
        if (!active) return same;
        Complex sum = 0;
        const u64 row = ((chosen() << in_.k) + extract(i, in_.x_mask)) << in_.k;
        for (u64 sub = in_.x_mask;; sub = (sub - 1) & in_.x_mask) {  // all choices of the target bits
          sum += entry(row + extract(sub, in_.x_mask)) * a[(i & ~in_.x_mask) | sub];
          if (sub == 0) return sum;
        }
      }
    }
    return same;
  }

  const double* pool_;
  const Instruction& in_;
  double angle_;
  bool derivative_;
  double c_, s_;
};

// P |pattern><pattern| applied to a state.
inline State term_times(const Term& t, const State& a) {
  State out(a.size());
  for (u64 i = 0; i < a.size(); ++i)
    if ((i & t.ctrl_mask) == t.ctrl_value) out[i] = word_at(a, t.x_mask, t.z_mask, i);
  return out;
}

inline double real_inner(const State& a, const State& b) {
  double sum = 0;
  for (u64 i = 0; i < a.size(); ++i) sum += a[i].real() * b[i].real() + a[i].imag() * b[i].imag();
  return sum;
}

// One sample: its final state, the values of the terms, and the gradient of the values' weighted sum by the slots, each
// derivative carried forward through the rest of the program.
struct Run {
  State state;
  std::vector<double> values, gradient;

  Run(const Source& source, const std::vector<double>& slots, const double* weights)
      : state(u64{1} << source.n_bits),
        gradient(slots.size()) {
    state[0] = 1;
    std::vector<std::pair<std::size_t, State>> tangents;  // by slot
    for (const Instruction& in : source.instructions) {
      const auto slot = static_cast<std::size_t>(in.slot);
      const double angle = in.offset + (in.slot >= 0 ? in.scale * slots[slot] : 0.0);
      const Gate gate(source, in, angle, false);
      for (auto& [_, tangent] : tangents) tangent = gate(tangent);
      if (in.slot >= 0 && static_cast<Opcode>(in.opcode) != Opcode::Kraus) {  // a choice has no derivative
        tangents.emplace_back(slot, Gate(source, in, angle, true)(state));
        for (Complex& v : tangents.back().second) v *= in.scale;
      }
      state = gate(state);
    }
    State observed(state.size());
    for (const Term& term : source.terms) {
      const State moved = term_times(term, state);
      const double weight = weights[values.size()];
      values.push_back(real_inner(state, moved));
      for (u64 i = 0; i < state.size(); ++i) observed[i] += weight * moved[i];
    }
    for (const auto& [slot, tangent] : tangents) gradient[slot] += 2 * real_inner(observed, tangent);
  }
};

}  // namespace scalar
