// The gate kernels: pair, permutation, diagonal, tables of phases; forward, and reverse with the inner product that is
// the gradient.
#pragma once

#include "lanes.inc.hpp"

namespace ketgrad {
namespace {

// diag * a + off * b, off imaginary or real.
template <typename Real, bool kImaginary, Form kForm>
inline __attribute__((always_inline)) Amplitude<Real> couple(const Half<Real>& diag, const Half<Real>& off,
                                                             const Amplitude<Real>& a, const Amplitude<Real>& b) {
  Amplitude<Real> out;
  if constexpr (kForm == Form::Move) return b;
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    const Reg<Real> d = diag.r[k], o = off.r[k];
    const Reg<Real> re = kImaginary ? -(o * b.im.r[k]) : o * b.re.r[k];
    const Reg<Real> im = kImaginary ? o * b.re.r[k] : o * b.im.r[k];
    out.re.r[k] = kForm == Form::OffDiagonal ? re : d * a.re.r[k] + re;
    out.im.r[k] = kForm == Form::OffDiagonal ? im : d * a.im.r[k] + im;
  }
  return out;
}

// Re(conj(l) * u * b), u = 1 or i, times the lane's unit.
template <typename Real, bool kImaginary>
inline __attribute__((always_inline)) void inner(Half<Real>& sum, const Half<Real>& unit, const Amplitude<Real>& l,
                                                 const Amplitude<Real>& b) {
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    const Reg<Real> v =
        kImaginary ? l.im.r[k] * b.re.r[k] - l.re.r[k] * b.im.r[k] : l.re.r[k] * b.re.r[k] + l.im.r[k] * b.im.r[k];
    sum.r[k] += unit.r[k] * v;
  }
}

template <typename Real>
inline void flush(Half<Real>& sum, double* out) {
  for (int k = 0; k < Lanes<Real>::count; ++k)
    for (int l = 0; l < Lanes<Real>::width; ++l) out[k * Lanes<Real>::width + l] += static_cast<double>(sum.r[k][l]);
  sum = zero_half<Real>();
}

inline constexpr int kFlush = 256;  // items summed in the state's precision before they join the fp64 sum

// 1 - act + c act, and s unit with either sign.
template <typename Real>
struct Coefficients {
  Half<Real> diag, off[2], unit[2];

  Coefficients(const Real* act, const Real* unit_lanes, const Real* c, const Real* s) {
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      const int at = k * Lanes<Real>::width;
      const Reg<Real> one = Reg<Real>{} + Real(1);
      const Reg<Real> a = load(act + at), u = load(unit_lanes + at);
      diag.r[k] = (one - a) + a * load(c + at);
      off[0].r[k] = u * load(s + at);
      off[1].r[k] = -off[0].r[k];
      unit[0].r[k] = u;
      unit[1].r[k] = -u;
    }
  }
};

template <typename Real, bool kImaginary, bool kShuffle, bool kSigned, bool kSelf, Form kForm>
void pair_loop(Real* psi, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end) {
  const Coefficients<Real> ca(op.act_a, op.unit_a, rotor.c, rotor.s), cb(op.act_b, op.unit_b, rotor.c, rotor.s);
  const LaneXor<Real> x(op.x_lo);
  const Items items(op.index);
  const u64 x_hi = op.x_hi, z_hi = op.z_hi;
  items.each(begin, end, [&](u64 i) {
    const int sign = kSigned ? parity(i & z_hi) : 0;
    const Amplitude<Real> a = load_group(psi, i), pa = partner<Real, kShuffle>(psi, i, a, x);
    if constexpr (kSelf) {
      store_group(psi, i, couple<Real, kImaginary, kForm>(ca.diag, ca.off[sign], a, pa));
    } else {
      const u64 j = i ^ x_hi;
      const Amplitude<Real> b = load_group(psi, j), pb = partner<Real, kShuffle>(psi, j, b, x);
      store_group(psi, i, couple<Real, kImaginary, kForm>(ca.diag, ca.off[sign], a, pb));
      store_group(psi, j, couple<Real, kImaginary, kForm>(cb.diag, cb.off[sign], b, pa));
    }
  });
}

template <typename Real, bool kImaginary, bool kShuffle, bool kSigned, bool kSelf>
void pair_reverse_loop(Real* psi, Real* lambda, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end,
                       double* out) {
  const Coefficients<Real> ca(op.act_a, op.unit_a, rotor.c, rotor.s), cb(op.act_b, op.unit_b, rotor.c, rotor.s);
  const LaneXor<Real> x(op.x_lo);
  const Items items(op.index);
  const u64 x_hi = op.x_hi, z_hi = op.z_hi;
  Half<Real> sum = zero_half<Real>();
  for (u64 start = begin; start < end; start += kFlush) {
    const u64 stop = start + kFlush < end ? start + kFlush : end;
    items.each(start, stop, [&](u64 i) {
      const int sign = kSigned ? parity(i & z_hi) : 0;
      const Amplitude<Real> a = load_group(psi, i), la = load_group(lambda, i);
      const Amplitude<Real> pa = partner<Real, kShuffle>(psi, i, a, x);
      const Amplitude<Real> pla = partner<Real, kShuffle>(lambda, i, la, x);
      if constexpr (kSelf) {
        inner<Real, kImaginary>(sum, ca.unit[sign], la, pa);
        store_group(psi, i, couple<Real, kImaginary, Form::Full>(ca.diag, ca.off[sign], a, pa));
        store_group(lambda, i, couple<Real, kImaginary, Form::Full>(ca.diag, ca.off[sign], la, pla));
      } else {
        const u64 j = i ^ x_hi;
        const Amplitude<Real> b = load_group(psi, j), lb = load_group(lambda, j);
        const Amplitude<Real> pb = partner<Real, kShuffle>(psi, j, b, x);
        const Amplitude<Real> plb = partner<Real, kShuffle>(lambda, j, lb, x);
        inner<Real, kImaginary>(sum, ca.unit[sign], la, pb);
        inner<Real, kImaginary>(sum, cb.unit[sign], lb, pa);
        store_group(psi, i, couple<Real, kImaginary, Form::Full>(ca.diag, ca.off[sign], a, pb));
        store_group(psi, j, couple<Real, kImaginary, Form::Full>(cb.diag, cb.off[sign], b, pa));
        store_group(lambda, i, couple<Real, kImaginary, Form::Full>(ca.diag, ca.off[sign], la, plb));
        store_group(lambda, j, couple<Real, kImaginary, Form::Full>(cb.diag, cb.off[sign], lb, pla));
      }
    });
    flush(sum, out);
  }
}

// Calls `call` with the four structural flags of a pair gate as compile-time constants.
template <typename Real, typename Call>
inline void choose_pair(const GateOp<Real>& op, Call call) {
  auto with = [&](auto imaginary, auto shuffle) {
    const bool is_signed = op.z_hi != 0, self = op.x_hi == 0;
    if (is_signed && self)
      call(imaginary, shuffle, std::true_type{}, std::true_type{});
    else if (is_signed)
      call(imaginary, shuffle, std::true_type{}, std::false_type{});
    else if (self)
      call(imaginary, shuffle, std::false_type{}, std::true_type{});
    else
      call(imaginary, shuffle, std::false_type{}, std::false_type{});
  };
  if (op.imaginary) {
    if (op.x_lo)
      with(std::true_type{}, std::true_type{});
    else
      with(std::true_type{}, std::false_type{});
  } else {
    if (op.x_lo)
      with(std::false_type{}, std::true_type{});
    else
      with(std::false_type{}, std::false_type{});
  }
}

template <typename Real>
void pair(Real* psi, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end) {
  choose_pair(op, [&](auto imaginary, auto shuffle, auto is_signed, auto self) {
    pair_loop<Real, imaginary.value, shuffle.value, is_signed.value, self.value, Form::Full>(psi, op, rotor, begin,
                                                                                             end);
  });
}

template <typename Real>
void pair_reverse(Real* psi, Real* lambda, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end,
                  double* sum) {
  choose_pair(op, [&](auto imaginary, auto shuffle, auto is_signed, auto self) {
    pair_reverse_loop<Real, imaginary.value, shuffle.value, is_signed.value, self.value>(psi, lambda, op, rotor, begin,
                                                                                         end, sum);
  });
}

// A pair gate with c = 0 and s = 1.
template <typename Real>
void permute(Real* psi, const GateOp<Real>& op, u64 begin, u64 end) {
  Rotor<Real> rotor;
  for (int l = 0; l < kLanes<Real>; ++l) {
    rotor.c[l] = 0;
    rotor.s[l] = 1;
  }
  if (op.form == Form::Full) return pair(psi, op, rotor, begin, end);
  if (op.form == Form::Move) {
    if (op.x_hi == 0) return pair_loop<Real, false, true, false, true, Form::Move>(psi, op, rotor, begin, end);
    if (op.x_lo) return pair_loop<Real, false, true, false, false, Form::Move>(psi, op, rotor, begin, end);
    return pair_loop<Real, false, false, false, false, Form::Move>(psi, op, rotor, begin, end);
  }
  choose_pair(op, [&](auto imaginary, auto shuffle, auto is_signed, auto self) {
    pair_loop<Real, imaginary.value, shuffle.value, is_signed.value, self.value, Form::OffDiagonal>(psi, op, rotor,
                                                                                                    begin, end);
  });
}

// (d + i o) * a
template <typename Real>
inline __attribute__((always_inline)) Amplitude<Real> turn(const Half<Real>& d, const Half<Real>& o,
                                                           const Amplitude<Real>& a) {
  Amplitude<Real> out;
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    out.re.r[k] = d.r[k] * a.re.r[k] - o.r[k] * a.im.r[k];
    out.im.r[k] = d.r[k] * a.im.r[k] + o.r[k] * a.re.r[k];
  }
  return out;
}

template <typename Real>
void diagonal(Real* psi, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end) {
  const Coefficients<Real> c(op.act_a, op.unit_a, rotor.c, rotor.s);
  const Items items(op.index);
  const u64 z_hi = op.z_hi;
  items.each(begin, end,
             [&](u64 i) { store_group(psi, i, turn(c.diag, c.off[z_hi ? parity(i & z_hi) : 0], load_group(psi, i))); });
}

template <typename Real>
void diagonal_reverse(Real* psi, Real* lambda, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end,
                      double* out) {
  const Coefficients<Real> c(op.act_a, op.unit_a, rotor.c, rotor.s);
  const Items items(op.index);
  const u64 z_hi = op.z_hi;
  Half<Real> sum = zero_half<Real>();
  for (u64 start = begin; start < end; start += kFlush) {
    const u64 stop = start + kFlush < end ? start + kFlush : end;
    items.each(start, stop, [&](u64 i) {
      const int sign = z_hi ? parity(i & z_hi) : 0;
      const Amplitude<Real> a = load_group(psi, i), l = load_group(lambda, i);
      inner<Real, true>(sum, c.unit[sign], l, a);
      store_group(psi, i, turn(c.diag, c.off[sign], a));
      store_group(lambda, i, turn(c.diag, c.off[sign], l));
    });
    flush(sum, out);
  }
}

// The bits of `value` under `mask`, packed.
inline u64 extract(u64 value, u64 mask) {
  const u64 shifted = mask >> __builtin_ctzll(mask);
  if ((shifted & (shifted + 1)) == 0) return (value & mask) >> __builtin_ctzll(mask);
  u64 out = 0;
  for (int b = 0; mask; ++b, mask &= mask - 1) out |= static_cast<u64>((value & mask & -mask) != 0) << b;
  return out;
}

// Reads the phase of every lane of a group.
template <typename Real>
class PhaseReader {
 public:
  PhaseReader(const TableOp<Real>& op, const TableEntries<Real>& entries)
      : op_(op),
        entries_(entries),
        act_(load_half(op.act)),
        sign_(entries.conjugate ? Real(-1) : Real(1)) {
    for (int l = 0; l < kLanes<Real>; ++l) same_ = same_ && op.lane_part[l] == 0;
  }

  inline __attribute__((always_inline)) void read(u64 i, Half<Real>& re, Half<Real>& im, Half<Real>& weight) const {
    const u64 high = op_.mask ? extract(i, op_.mask) << op_.lane_count : 0;
    if (same_) {
      const u64 e = entry(high);
      const Real* p = entries_.phases;
      re = entries_.per_lane ? load_half(p + e * 2 * kLanes<Real>) : broadcast(p[2 * e]);
      im = entries_.per_lane ? load_half(p + (e * 2 + 1) * kLanes<Real>) : broadcast(p[2 * e + 1]);
      weight = broadcast(entries_.weights ? entries_.weights[e] : Real(0));
    } else {
      Real r[kLanes<Real>], s[kLanes<Real>], w[kLanes<Real>] = {};
      for (int l = 0; l < kLanes<Real>; ++l) {
        const u64 e = entry(high + op_.lane_part[l]);
        r[l] = entries_.phases[2 * e];
        s[l] = entries_.phases[2 * e + 1];
        if (entries_.weights) w[l] = entries_.weights[e];
      }
      re = load_half(r);
      im = load_half(s);
      weight = load_half(w);
    }
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      const Reg<Real> a = act_.r[k], one = Reg<Real>{} + Real(1);
      re.r[k] = (one - a) + a * re.r[k];
      im.r[k] = sign_ * a * im.r[k];
      weight.r[k] = a * weight.r[k];
    }
  }

 private:
  u64 entry(u64 x) const { return op_.which ? op_.which[x] : x; }

  const TableOp<Real>& op_;
  const TableEntries<Real>& entries_;
  const Half<Real> act_;
  const Real sign_;
  bool same_ = true;
};

template <typename Real>
void table(Real* psi, const TableOp<Real>& op, const TableEntries<Real>& entries, u64 begin, u64 end) {
  const PhaseReader<Real> reader(op, entries);
  const Items items(op.index);
  items.each(begin, end, [&](u64 i) {
    Half<Real> re, im, weight;
    reader.read(i, re, im, weight);
    store_group(psi, i, turn(re, im, load_group(psi, i)));
  });
}

template <typename Real>
void table_reverse(Real* psi, Real* lambda, const TableOp<Real>& op, const TableEntries<Real>& entries, u64 begin,
                   u64 end, double* out) {
  const PhaseReader<Real> reader(op, entries);
  const Items items(op.index);
  Half<Real> sum = zero_half<Real>();
  for (u64 start = begin; start < end; start += kFlush) {
    const u64 stop = start + kFlush < end ? start + kFlush : end;
    items.each(start, stop, [&](u64 i) {
      Half<Real> re, im, weight;
      reader.read(i, re, im, weight);
      const Amplitude<Real> a = load_group(psi, i), l = load_group(lambda, i);
      inner<Real, true>(sum, weight, l, a);
      store_group(psi, i, turn(re, im, a));
      store_group(lambda, i, turn(re, im, l));
    });
    flush(sum, out);
  }
}

}  // namespace
}  // namespace ketgrad
