// The kernels, written once over vectors of KETGRAD_VECTOR_BYTES and compiled once per instruction set.
// Everything is in an unnamed namespace and uses nothing of the standard library that could be emitted as a shared
// symbol: a copy compiled for a newer processor must never be linked into the others.
#include <math.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels.hpp"

namespace ketgrad {
namespace {

using u64 = std::uint64_t;

template <typename Real>
struct Lanes {
  static constexpr int width = KETGRAD_VECTOR_BYTES / static_cast<int>(sizeof(Real));  // lanes of one register
  static constexpr int count = kLanes<Real> / width;                                    // registers of 64 bytes
  typedef Real Reg __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
};

template <typename Real>
using Reg = typename Lanes<Real>::Reg;

template <typename Real>
inline __attribute__((always_inline)) Reg<Real> load(const Real* p) {
  Reg<Real> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename Real>
inline __attribute__((always_inline)) void store(Real* p, Reg<Real> v) {
  std::memcpy(p, &v, sizeof v);
}

// Half a group: 64 bytes as registers.
template <typename Real>
struct Half {
  Reg<Real> r[Lanes<Real>::count];
};

template <typename Real>
inline __attribute__((always_inline)) Half<Real> load_half(const Real* p) {
  Half<Real> h;
  for (int k = 0; k < Lanes<Real>::count; ++k) h.r[k] = load(p + k * Lanes<Real>::width);
  return h;
}

template <typename Real>
inline __attribute__((always_inline)) void store_half(Real* p, const Half<Real>& h) {
  for (int k = 0; k < Lanes<Real>::count; ++k) store(p + k * Lanes<Real>::width, h.r[k]);
}

// Lane permutation l -> l ^ x, the high bits of x choosing the register.
template <typename Real>
struct LaneXor {
  typedef std::conditional_t<sizeof(Real) == 4, std::int32_t, std::int64_t> Int;
  typedef Int Index __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
  Index index;
  int register_xor;

  explicit LaneXor(int x) {
    for (int l = 0; l < Lanes<Real>::width; ++l) index[l] = l ^ (x & (Lanes<Real>::width - 1));
    register_xor = x / Lanes<Real>::width;
  }

  inline __attribute__((always_inline)) Half<Real> operator()(const Half<Real>& h) const {
    Half<Real> out;
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      const Reg<Real> v = h.r[k ^ register_xor];
#if defined(__clang__)
      for (int l = 0; l < Lanes<Real>::width; ++l) out.r[k][l] = v[index[l]];
#else
      out.r[k] = __builtin_shuffle(v, index);
#endif
    }
    return out;
  }
};

inline bool parity(u64 bits) { return __builtin_popcountll(bits) & 1; }

// Enumerates an index map: item t -> t with a 0 inserted at each fixed bit, then the value or-ed in.
struct Items {
  u64 low[kMaxBits];  // ones below the f-th fixed bit, ascending
  u64 value;
  u64 run;  // items that are contiguous in memory, a power of two
  int n_fixed = 0;

  explicit Items(const IndexMap& map) : value(map.value) {
    for (u64 left = map.fixed; left; left &= left - 1) low[n_fixed++] = (left & -left) - 1;
    run = n_fixed ? low[0] + 1 : u64{1} << kMaxBits;
  }

  u64 expand(u64 t) const {
    for (int f = 0; f < n_fixed; ++f) t = ((t & ~low[f]) << 1) | (t & low[f]);
    return t | value;
  }

  // body(i) for every item of [begin, end): contiguous runs, so that the index costs nothing inside.
  template <typename Body>
  inline __attribute__((always_inline)) void each(u64 begin, u64 end, Body body) const {
    while (begin < end) {
      const u64 left = run - (begin & (run - 1));
      const u64 stop = begin + (left < end - begin ? left : end - begin);
      u64 i = expand(begin);
      for (; begin < stop; ++begin, ++i) body(i);
    }
  }
};

template <typename Real>
struct Amplitude {
  Half<Real> re, im;
};

template <typename Real>
inline __attribute__((always_inline)) Amplitude<Real> load_group(const Real* psi, u64 i) {
  const Real* p = psi + i * (2 * kLanes<Real>);
  return {load_half(p), load_half(p + kLanes<Real>)};
}

template <typename Real>
inline __attribute__((always_inline)) void store_group(Real* psi, u64 i, const Amplitude<Real>& a) {
  Real* p = psi + i * (2 * kLanes<Real>);
  store_half(p, a.re);
  store_half(p + kLanes<Real>, a.im);
}

template <typename Real, bool kShuffle>
inline __attribute__((always_inline)) Amplitude<Real> partner(const Amplitude<Real>& a, const LaneXor<Real>& x) {
  if constexpr (kShuffle)
    return {x(a.re), x(a.im)};
  else
    return a;
}

// diag * a + off * b, off imaginary or real.
template <typename Real, bool kImaginary, bool kZero>
inline __attribute__((always_inline)) Amplitude<Real> couple(const Half<Real>& diag, const Half<Real>& off,
                                                             const Amplitude<Real>& a, const Amplitude<Real>& b) {
  Amplitude<Real> out;
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    const Reg<Real> d = diag.r[k], o = off.r[k];
    const Reg<Real> re = kImaginary ? -(o * b.im.r[k]) : o * b.re.r[k];
    const Reg<Real> im = kImaginary ? o * b.re.r[k] : o * b.im.r[k];
    out.re.r[k] = kZero ? re : d * a.re.r[k] + re;
    out.im.r[k] = kZero ? im : d * a.im.r[k] + im;
  }
  return out;
}

// Re(conj(l) * u * b), u = 1 or i, times the lane's unit.
template <typename Real, bool kImaginary>
inline __attribute__((always_inline)) void inner(Half<Real>& sum, const Half<Real>& unit, const Amplitude<Real>& l,
                                                 const Amplitude<Real>& b) {
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    const Reg<Real> v = kImaginary ? l.im.r[k] * b.re.r[k] - l.re.r[k] * b.im.r[k]
                                   : l.re.r[k] * b.re.r[k] + l.im.r[k] * b.im.r[k];
    sum.r[k] += unit.r[k] * v;
  }
}

template <typename Real>
inline Half<Real> zero_half() {
  Half<Real> h;
  for (int k = 0; k < Lanes<Real>::count; ++k) h.r[k] = Reg<Real>{};
  return h;
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

template <typename Real, bool kImaginary, bool kShuffle, bool kSigned, bool kSelf, bool kZero>
void pair_loop(Real* psi, const GateOp<Real>& op, const Rotor<Real>& rotor, u64 begin, u64 end) {
  const Coefficients<Real> ca(op.act_a, op.unit_a, rotor.c, rotor.s), cb(op.act_b, op.unit_b, rotor.c, rotor.s);
  const LaneXor<Real> x(op.x_lo);
  const Items items(op.index);
  const u64 x_hi = op.x_hi, z_hi = op.z_hi;
  items.each(begin, end, [&](u64 i) {
    const int sign = kSigned ? parity(i & z_hi) : 0;
    const Amplitude<Real> a = load_group(psi, i);
    if constexpr (kSelf) {
      store_group(psi, i, couple<Real, kImaginary, kZero>(ca.diag, ca.off[sign], a, partner<Real, kShuffle>(a, x)));
    } else {
      const u64 j = i ^ x_hi;
      const Amplitude<Real> b = load_group(psi, j);
      store_group(psi, i, couple<Real, kImaginary, kZero>(ca.diag, ca.off[sign], a, partner<Real, kShuffle>(b, x)));
      store_group(psi, j, couple<Real, kImaginary, kZero>(cb.diag, cb.off[sign], b, partner<Real, kShuffle>(a, x)));
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
      if constexpr (kSelf) {
        const Amplitude<Real> pa = partner<Real, kShuffle>(a, x);
        inner<Real, kImaginary>(sum, ca.unit[sign], la, pa);
        store_group(psi, i, couple<Real, kImaginary, false>(ca.diag, ca.off[sign], a, pa));
        store_group(lambda, i,
                    couple<Real, kImaginary, false>(ca.diag, ca.off[sign], la, partner<Real, kShuffle>(la, x)));
      } else {
        const u64 j = i ^ x_hi;
        const Amplitude<Real> b = load_group(psi, j), lb = load_group(lambda, j);
        const Amplitude<Real> pa = partner<Real, kShuffle>(a, x), pb = partner<Real, kShuffle>(b, x);
        inner<Real, kImaginary>(sum, ca.unit[sign], la, pb);
        inner<Real, kImaginary>(sum, cb.unit[sign], lb, pa);
        store_group(psi, i, couple<Real, kImaginary, false>(ca.diag, ca.off[sign], a, pb));
        store_group(psi, j, couple<Real, kImaginary, false>(cb.diag, cb.off[sign], b, pa));
        store_group(lambda, i,
                    couple<Real, kImaginary, false>(ca.diag, ca.off[sign], la, partner<Real, kShuffle>(lb, x)));
        store_group(lambda, j,
                    couple<Real, kImaginary, false>(cb.diag, cb.off[sign], lb, partner<Real, kShuffle>(la, x)));
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
    pair_loop<Real, imaginary.value, shuffle.value, is_signed.value, self.value, false>(psi, op, rotor, begin, end);
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

// A pair gate with c = 0 and s = 1 on active lanes: every lane active needs no product with the own amplitude.
template <typename Real>
void permute(Real* psi, const GateOp<Real>& op, u64 begin, u64 end) {
  Rotor<Real> rotor;
  bool all = true;
  for (int l = 0; l < kLanes<Real>; ++l) {
    rotor.c[l] = 0;
    rotor.s[l] = 1;
    all = all && op.act_a[l] == Real(1) && op.act_b[l] == Real(1);
  }
  if (!all) return pair(psi, op, rotor, begin, end);
  choose_pair(op, [&](auto imaginary, auto shuffle, auto is_signed, auto self) {
    pair_loop<Real, imaginary.value, shuffle.value, is_signed.value, self.value, true>(psi, op, rotor, begin, end);
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
  items.each(begin, end, [&](u64 i) {
    store_group(psi, i, turn(c.diag, c.off[z_hi ? parity(i & z_hi) : 0], load_group(psi, i)));
  });
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

template <typename Real>
struct Complex2 {
  Half<Real> cr, ci, sr, si;
  Complex2(const MixOp<Real>& op, int side)
      : cr(load_half(op.c_re[side])),
        ci(load_half(op.c_im[side])),
        sr(load_half(op.s_re[side])),
        si(load_half(op.s_im[side])) {}

  inline __attribute__((always_inline)) Amplitude<Real> operator()(const Amplitude<Real>& a,
                                                                   const Amplitude<Real>& b) const {
    Amplitude<Real> out;
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      out.re.r[k] = cr.r[k] * a.re.r[k] - ci.r[k] * a.im.r[k] + sr.r[k] * b.re.r[k] - si.r[k] * b.im.r[k];
      out.im.r[k] = cr.r[k] * a.im.r[k] + ci.r[k] * a.re.r[k] + sr.r[k] * b.im.r[k] + si.r[k] * b.re.r[k];
    }
    return out;
  }
};

template <typename Real, bool kShuffle>
void mix_loop(Real* psi, const MixOp<Real>& op, u64 begin, u64 end) {
  const Complex2<Real> ma(op, 0), mb(op, 1);
  const LaneXor<Real> x(op.x_lo);
  const Items items(op.index);
  const u64 x_hi = op.x_hi;
  items.each(begin, end, [&](u64 i) {
    const Amplitude<Real> a = load_group(psi, i);
    if (!x_hi) return store_group(psi, i, ma(a, partner<Real, kShuffle>(a, x)));
    const Amplitude<Real> b = load_group(psi, i ^ x_hi);
    store_group(psi, i, ma(a, b));
    store_group(psi, i ^ x_hi, mb(b, a));
  });
}

template <typename Real>
void mix(Real* psi, const MixOp<Real>& op, u64 begin, u64 end) {
  if (op.x_lo)
    mix_loop<Real, true>(psi, op, begin, end);
  else
    mix_loop<Real, false>(psi, op, begin, end);
}

// sum += coefficient * shuffled(a)
template <typename Real>
inline __attribute__((always_inline)) void add_scaled(Amplitude<Real>& sum, const Half<Real>& re, const Half<Real>& im,
                                                      const Amplitude<Real>& a) {
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    sum.re.r[k] += re.r[k] * a.re.r[k] - im.r[k] * a.im.r[k];
    sum.im.r[k] += re.r[k] * a.im.r[k] + im.r[k] * a.re.r[k];
  }
}

template <typename Real>
inline __attribute__((always_inline)) Half<Real> broadcast(Real value) {
  Half<Real> h;
  for (int k = 0; k < Lanes<Real>::count; ++k) h.r[k] = Reg<Real>{} + value;
  return h;
}

template <typename Real>
void dense(Real* psi, const DenseOp<Real>& op, Real* scratch, u64 begin, u64 end) {
  constexpr int group = 2 * kLanes<Real>;
  const Items items(op.index);
  const int n_in = op.n_hi * op.n_lo;
  items.each(begin, end, [&](u64 i) {
    for (int c = 0; c < op.n_hi; ++c) {
      const Amplitude<Real> a = load_group(psi, i | op.offsets[c]);
      for (int p = 0; p < op.n_lo; ++p) {
        if (op.lane_xors[p])
          store_group(scratch, static_cast<u64>(c * op.n_lo + p), partner<Real, true>(a, LaneXor<Real>(op.lane_xors[p])));
        else
          store_group(scratch, static_cast<u64>(c * op.n_lo + p), a);
      }
    }
    const Real* m = op.coefficients;
    for (int r = 0; r < op.n_hi; ++r) {
      Amplitude<Real> sum{zero_half<Real>(), zero_half<Real>()};
      for (int c = 0; c < n_in; ++c) {
        const Amplitude<Real> a = load_group(scratch, static_cast<u64>(c));
        if (op.per_lane) {
          add_scaled(sum, load_half(m), load_half(m + kLanes<Real>), a);
          m += group;
        } else {
          add_scaled(sum, broadcast(m[0]), broadcast(m[1]), a);
          m += 2;
        }
      }
      store_group(psi, i | op.offsets[r], sum);
    }
  });
}

// The bits of `value` under `mask`, packed.
inline u64 extract(u64 value, u64 mask) {
  const u64 shifted = mask >> __builtin_ctzll(mask);
  if ((shifted & (shifted + 1)) == 0) return (value & mask) >> __builtin_ctzll(mask);
  u64 out = 0;
  for (int b = 0; mask; ++b, mask &= mask - 1) out |= static_cast<u64>((value & mask & -mask) != 0) << b;
  return out;
}

// cos, sin (or the entries) and, when wanted, -d for every lane of group i; lanes outside the controls are (1, 0, 0).
template <typename Real>
void table_lanes(const TableOp<Real>& op, const double* angles, u64 i, Half<Real>& re, Half<Real>& im,
                 Half<Real>& weight) {
  Real r[kLanes<Real>], s[kLanes<Real>], w[kLanes<Real>];
  const int distinct = 1 << op.lane_bits;
  for (int l = 0; l < kLanes<Real>; ++l) {
    const u64 full = (i << op.lane_bits) | static_cast<u64>(l & (distinct - 1));
    r[l] = 1;
    s[l] = w[l] = 0;
    if ((full & op.ctrl_mask) != op.ctrl_value) continue;
    const u64 x = extract(full, op.mask);
    if (!op.exponential) {
      r[l] = static_cast<Real>(op.table[2 * x]);
      s[l] = static_cast<Real>(op.table[2 * x + 1]) * static_cast<Real>(angles[0]);
      continue;
    }
    const double d = op.table[x], angle = angles[l] * d;
    r[l] = static_cast<Real>(::cos(angle));
    s[l] = static_cast<Real>(::sin(angle));
    w[l] = static_cast<Real>(d);
  }
  re = load_half(r);
  im = load_half(s);
  weight = load_half(w);
}

template <typename Real>
void table(Real* psi, const TableOp<Real>& op, const double* angles, u64 begin, u64 end) {
  Half<Real> re, im, weight;
  for (u64 i = begin; i < end; ++i) {
    table_lanes(op, angles, i, re, im, weight);
    store_group(psi, i, turn(re, im, load_group(psi, i)));
  }
}

template <typename Real>
void table_reverse(Real* psi, Real* lambda, const TableOp<Real>& op, const double* angles, u64 begin, u64 end,
                   double* out) {
  Half<Real> re, im, weight, sum = zero_half<Real>();
  for (u64 start = begin; start < end; start += kFlush) {
    const u64 stop = start + kFlush < end ? start + kFlush : end;
    for (u64 i = start; i < stop; ++i) {
      table_lanes(op, angles, i, re, im, weight);
      const Amplitude<Real> a = load_group(psi, i), l = load_group(lambda, i);
      inner<Real, true>(sum, weight, l, a);
      store_group(psi, i, turn(re, im, a));
      store_group(lambda, i, turn(re, im, l));
    }
    flush(sum, out);
  }
}

// Walsh-Hadamard transform over the index of `count` halves, `stride` reals apart.
template <typename Real>
void transform(Real* block, int count, int stride) {
  for (int step = 1; step < count; step *= 2)
    for (int i = 0; i < count; ++i) {
      if (i & step) continue;
      Real *p = block + i * stride, *q = block + (i + step) * stride;
      const Half<Real> a = load_half(p), b = load_half(q);
      Half<Real> sum, difference;
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        sum.r[k] = a.r[k] + b.r[k];
        difference.r[k] = a.r[k] - b.r[k];
      }
      store_half(p, sum);
      store_half(q, difference);
    }
}

// Partner of group i under the group's X mask.
template <typename Real>
inline Amplitude<Real> flipped(const Real* psi, const TermGroup<Real>& terms, const LaneXor<Real>& x, u64 i) {
  const Amplitude<Real> b = load_group(psi, i ^ terms.x_hi);
  return terms.x_lo ? partner<Real, true>(b, x) : b;
}

template <typename Real>
void expect(const Real* psi, const TermGroup<Real>& terms, u64 base, int count, double* sums) {
  constexpr int lanes = kLanes<Real>, group = 2 * lanes;
  alignas(64) Real products[kBlock * group];
  const LaneXor<Real> x(terms.x_lo);
  const bool real_only = terms.x_hi == 0 && terms.x_lo == 0;
  for (int u = 0; u < count; ++u) {
    const Amplitude<Real> a = load_group(psi, base + static_cast<u64>(u));
    const Amplitude<Real> b = flipped(psi, terms, x, base + static_cast<u64>(u));
    Amplitude<Real> q;
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      q.re.r[k] = a.re.r[k] * b.re.r[k] + a.im.r[k] * b.im.r[k];
      q.im.r[k] = a.re.r[k] * b.im.r[k] - a.im.r[k] * b.re.r[k];
    }
    store_group(products, static_cast<u64>(u), q);
  }
  // rows with controls read the products, rows without may read their transform
  auto add = [&](int row, const Half<Real>& v, bool negative) {
    const TermRow<Real>& term = terms.rows[row];
    const Real sign = negative ? -term.prefactor : term.prefactor;
    double* out = sums + row * lanes;
    for (int k = 0; k < Lanes<Real>::count; ++k)
      for (int l = 0; l < Lanes<Real>::width; ++l) {
        const int at = k * Lanes<Real>::width + l;
        out[at] += static_cast<double>(sign * term.lane[at] * v.r[k][l]);
      }
  };
  for (int row = 0; row < terms.n_rows; ++row) {
    const TermRow<Real>& term = terms.rows[row];
    if (terms.transform && !term.ctrl_mask) continue;
    Half<Real> sum = zero_half<Real>();
    for (int u = 0; u < count; ++u) {
      const u64 i = base + static_cast<u64>(u);
      if ((i & term.ctrl_mask) != term.ctrl_value) continue;
      const Half<Real> v = load_half(products + u * group + term.odd * lanes);
      const Real sign = parity(i & term.z_hi) ? Real(-1) : Real(1);
      for (int k = 0; k < Lanes<Real>::count; ++k) sum.r[k] += sign * v.r[k];
    }
    add(row, sum, false);
  }
  if (!terms.transform) return;
  transform(products, count, group);
  if (!real_only) transform(products + lanes, count, group);
  for (int row = 0; row < terms.n_rows; ++row) {
    const TermRow<Real>& term = terms.rows[row];
    if (term.ctrl_mask) continue;
    const int inside = static_cast<int>(term.z_hi & static_cast<u64>(count - 1));
    add(row, load_half(products + inside * group + term.odd * lanes), parity(base & term.z_hi));
  }
}

template <typename Real>
void observe(const Real* psi, Real* lambda, const TermGroup<Real>& terms, const Real* weights, u64 base, int count,
             bool add) {
  constexpr int lanes = kLanes<Real>, group = 2 * lanes;
  alignas(64) Real factors[kBlock * group];
  const LaneXor<Real> x(terms.x_lo);
  std::memset(factors, 0, static_cast<std::size_t>(count) * group * sizeof(Real));
  // (-i)^nY: an odd number of Ys puts the factor into the imaginary part with the opposite sign
  auto put = [&](int row, int at, bool negative) {
    const TermRow<Real>& term = terms.rows[row];
    const Real plain = term.odd ? -term.prefactor : term.prefactor;
    const Real sign = negative ? -plain : plain;
    Real* p = factors + at * group + term.odd * lanes;
    const Real* w = weights + row * lanes;
    for (int l = 0; l < lanes; ++l) p[l] += sign * term.lane[l] * w[l];
  };
  if (terms.transform) {
    for (int row = 0; row < terms.n_rows; ++row)
      if (!terms.rows[row].ctrl_mask)
        put(row, static_cast<int>(terms.rows[row].z_hi & static_cast<u64>(count - 1)),
            parity(base & terms.rows[row].z_hi));
    transform(factors, count, group);
    transform(factors + lanes, count, group);
  }
  for (int row = 0; row < terms.n_rows; ++row) {
    const TermRow<Real>& term = terms.rows[row];
    if (terms.transform && !term.ctrl_mask) continue;
    for (int u = 0; u < count; ++u) {
      const u64 i = base + static_cast<u64>(u);
      if ((i & term.ctrl_mask) == term.ctrl_value) put(row, u, parity(i & term.z_hi));
    }
  }
  for (int u = 0; u < count; ++u) {
    const u64 i = base + static_cast<u64>(u);
    const Amplitude<Real> f = load_group(factors, static_cast<u64>(u));
    Amplitude<Real> out = turn(f.re, f.im, flipped(psi, terms, x, i));
    if (add) {
      const Amplitude<Real> old = load_group(lambda, i);
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        out.re.r[k] += old.re.r[k];
        out.im.r[k] += old.im.r[k];
      }
    }
    store_group(lambda, i, out);
  }
}

template <typename Real>
constexpr KernelTable<Real> make_table() {
  return {pair<Real>,         permute<Real>,          diagonal<Real>,      mix<Real>,    dense<Real>,  table<Real>,
          pair_reverse<Real>, diagonal_reverse<Real>, table_reverse<Real>, expect<Real>, observe<Real>};
}

}  // namespace
}  // namespace ketgrad
