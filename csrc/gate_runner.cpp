#include "gate_runner.hpp"

#include <bit>

namespace ketgrad {

// f(operand, entries, at) for each row of a tile in which a table's controls hold; the row starts at group `at`.
template <typename Real>
template <typename F>
void GateRunner<Real>::table_rows(const Geometry& g, const TileGate<Real>& gate, u64 base, bool inverse, F f) const {
  const int low = std::popcount(gate.table.mask) + gate.table.lane_count;
  for (std::size_t r = 0; r < g.offsets.size(); ++r) {
    const u64 row = base ^ g.offsets[r];
    if ((row & gate.controls) != gate.values) continue;
    TableOp<Real> op = gate.table;
    TableEntries<Real> own = entries[static_cast<std::size_t>(gate.step)];
    own.conjugate = inverse;
    const u64 offset = extract_bits(row, gate.signs) << low;
    if (op.which)
      op.which += offset;
    else
      own.phases += 2 * offset;
    f(op, own, r << g.row_bits);
  }
}

template <typename Real>
void GateRunner<Real>::apply(const Geometry& g, const TileGate<Real>& gate, Real* psi, u64 base, Way way, Real* scratch,
                             Part part) const {
  constexpr u64 group = 2 * kLanes<Real>;
  const bool inverse = way != Way::Forward;
  if (gate.kind == Kind::Table) {
    table_rows(g, gate, base, inverse, [&](const TableOp<Real>& op, const TableEntries<Real>& numbers, u64 at) {
      kernels.table(psi + at * group, op, numbers, 0, op.index.count);
    });
    return;
  }
  if ((base & gate.controls) != gate.values) return;
  const bool sign = is_odd(base & gate.signs);
  switch (gate.kind) {
    case Kind::Pair:
    case Kind::Diagonal: {
      Rotor<Real> r = rotors[static_cast<std::size_t>(gate.step)];
      if (sign != inverse)
        for (Real& s : r.s) s = -s;
      (gate.kind == Kind::Pair ? kernels.pair : kernels.diagonal)(psi, gate.gate, r, part.begin(gate.gate.index.count),
                                                                  part.end(gate.gate.index.count));
      break;
    }
    case Kind::Permute: {  // its own inverse
      if (!sign) {
        kernels.permute(psi, gate.gate, part.begin(gate.gate.index.count), part.end(gate.gate.index.count));
        break;
      }
      Rotor<Real> r;
      for (int l = 0; l < kLanes<Real>; ++l) {
        r.c[l] = 0;
        r.s[l] = -1;
      }
      kernels.pair(psi, gate.gate, r, part.begin(gate.gate.index.count), part.end(gate.gate.index.count));
      break;
    }
    case Kind::Mix: {
      const MixOp<Real>& op = inverse ? gate.inverse_mix : gate.mix;
      kernels.mix(psi, op, part.begin(op.index.count), part.end(op.index.count));
      break;
    }
    case Kind::Dense: {
      DenseOp<Real> op = gate.dense;
      std::vector<Real> memory;
      if (gate.matrices->pick(chosen[static_cast<std::size_t>(gate.operand)], way, op, memory))
        kernels.dense(psi, op, scratch, part.begin(op.index.count), part.end(op.index.count));
      break;
    }
    default:
      break;
  }
}

template <typename Real>
void GateRunner<Real>::reverse(const Geometry& g, const TileGate<Real>& gate, Real* psi, Real* lambda, u64 base,
                               double* out, Part part) const {
  constexpr int lanes = kLanes<Real>;
  constexpr u64 group = 2 * lanes;
  if (gate.kind == Kind::Table) {
    table_rows(g, gate, base, true, [&](const TableOp<Real>& op, const TableEntries<Real>& numbers, u64 row) {
      kernels.table_reverse(psi + row * group, lambda + row * group, op, numbers, 0, op.index.count, out);
    });
    return;
  }
  if ((base & gate.controls) != gate.values) return;
  const bool sign = is_odd(base & gate.signs);
  Rotor<Real> r = rotors[static_cast<std::size_t>(gate.step)];
  if (!sign)
    for (Real& s : r.s) s = -s;
  double own[lanes] = {};
  (gate.kind == Kind::Pair ? kernels.pair_reverse : kernels.diagonal_reverse)(
      psi, lambda, gate.gate, r, part.begin(gate.gate.index.count), part.end(gate.gate.index.count), own);
  for (int l = 0; l < lanes; ++l) out[l] += sign ? -own[l] : own[l];
}

template struct GateRunner<float>;
template struct GateRunner<double>;

}  // namespace ketgrad
