// Kernels of the tiles of one large state: blocks of real rotations, and the inner product of a flip.
#pragma once

#include "gates.inc.hpp"

namespace ketgrad {
namespace {

// How many turns are done on groups held in registers: 2^n of them, one part of one register each; back, of two states.
inline constexpr int kTurnsAtOnce = KETGRAD_VECTOR_BYTES == 64 ? 4 : KETGRAD_VECTOR_BYTES == 32 ? 3 : 2;
inline constexpr int kTurnsBack = 2;
inline constexpr int kTurnsWhole = KETGRAD_VECTOR_BYTES == 64 ? 2 : 1;  // back, of both parts of two states

// Sines of one register, either sign: s[r][sign].
template <typename Real>
struct BlockCoefficients {
  Reg<Real> c[kBlockTurns], s[kBlockTurns][2];

  inline __attribute__((always_inline)) BlockCoefficients(const TurnBlock& op, const BlockAngles<Real>& angles, int reg,
                                                          unsigned negate) {
    for (int r = 0; r < op.turns; ++r) {
      c[r] = load(angles.c[r] + reg * Lanes<Real>::width);
      const Reg<Real> plus = load(angles.s[r] + reg * Lanes<Real>::width);
      const unsigned other = (negate >> r) & 1;
      s[r][other] = plus;
      s[r][!other] = -plus;
    }
  }
};

// The sign of turn r at element k: one for the block, or (own) one for each k.
template <bool kOwn>
inline __attribute__((always_inline)) int sign_at(const TurnBlock& op, int r, int k, int whole) {
  if constexpr (kOwn) return whole ^ ((op.own[r] >> k) & 1);
  return whole;
}

// a' = c a - s b, b' = c b + s a; scaled, without the c.
template <typename Real, bool kScaled>
inline __attribute__((always_inline)) void turn_pair(Reg<Real>& a, Reg<Real>& b, const Reg<Real>& c,
                                                     const Reg<Real>& s) {
  const Reg<Real> x = a, y = b;
  if constexpr (kScaled) {
    a = x - s * y;
    b = y + s * x;
  } else {
    a = c * x - s * y;
    b = c * y + s * x;
  }
}

// Turns kFirst .. kFirst + kTurns - 1 of a block of kAll, on 2^kTurns groups in registers: for each choice of the
// others. Element k is `at` + place[k].
template <typename Real, int kAll, int kFirst, int kTurns, bool kOwn, bool kScaled>
inline __attribute__((always_inline)) void turn_part(Real* at, const u64* place, const TurnBlock& op,
                                                     const BlockCoefficients<Real>& q, const int* whole) {
#pragma GCC unroll 1
  for (int n = 0; n < 1 << (kAll - kTurns); ++n) {
    const int base = (n & ((1 << kFirst) - 1)) | (n >> kFirst) << (kFirst + kTurns);
    Reg<Real> v[1 << kTurns];
#pragma GCC unroll 16
    for (int k = 0; k < 1 << kTurns; ++k) v[k] = load(at + place[base + (k << kFirst)]);
#pragma GCC unroll 4
    for (int t = 0; t < kTurns; ++t) {
      const int r = kFirst + t;
#pragma GCC unroll 16
      for (int k = 0; k < 1 << kTurns; ++k) {
        if (k & (1 << t)) continue;
        const Reg<Real> s = q.s[r][sign_at<kOwn>(op, r, base + (k << kFirst), whole[r])];
        turn_pair<Real, kScaled>(v[k], v[k | (1 << t)], q.c[r], s);
      }
    }
#pragma GCC unroll 16
    for (int k = 0; k < 1 << kTurns; ++k) store(at + place[base + (k << kFirst)], v[k]);
  }
}

template <typename Real, int kAll, int kFirst, int kTurns, bool kOwn, bool kScaled>
inline __attribute__((always_inline)) void turn_part_back(Real* at, Real* to, const u64* place, const TurnBlock& op,
                                                          const BlockCoefficients<Real>& q, const int* whole,
                                                          Reg<Real>* total) {
#pragma GCC unroll 1
  for (int n = 0; n < 1 << (kAll - kTurns); ++n) {
    const int base = (n & ((1 << kFirst) - 1)) | (n >> kFirst) << (kFirst + kTurns);
    Reg<Real> v[1 << kTurns], w[1 << kTurns];
#pragma GCC unroll 16
    for (int k = 0; k < 1 << kTurns; ++k) {
      v[k] = load(at + place[base + (k << kFirst)]);
      w[k] = load(to + place[base + (k << kFirst)]);
    }
#pragma GCC unroll 4
    for (int t = kTurns - 1; t >= 0; --t) {
      const int r = kFirst + t;
      Reg<Real> sum{};
#pragma GCC unroll 16
      for (int k = 0; k < 1 << kTurns; ++k) {
        if (k & (1 << t)) continue;
        const int sign = sign_at<kOwn>(op, r, base + (k << kFirst), whole[r]), j = k | (1 << t);
        const Reg<Real> s = q.s[r][sign], x = v[k], y = v[j], lx = w[k], ly = w[j];
        if (kOwn && sign) {
          sum += lx * y;
          sum -= ly * x;
        } else {
          sum += ly * x;
          sum -= lx * y;
        }
        turn_pair<Real, kScaled>(v[k], v[j], q.c[r], s);
        turn_pair<Real, kScaled>(w[k], w[j], q.c[r], s);
      }
      total[r] += !kOwn && whole[r] ? -sum : sum;
    }
#pragma GCC unroll 16
    for (int k = 0; k < 1 << kTurns; ++k) {
      store(at + place[base + (k << kFirst)], v[k]);
      store(to + place[base + (k << kFirst)], w[k]);
    }
  }
}

// As turn_part_back without `own`, of real and imaginary parts together, which the inner products of flips want.
template <typename Real, int kAll, int kFirst, int kTurns, bool kScaled>
inline __attribute__((always_inline)) void turn_part_whole(Real* at, Real* to, const u64* place,
                                                           const BlockCoefficients<Real>& q, const int* whole,
                                                           Reg<Real>* total, Reg<Real>* flips) {
#pragma GCC unroll 1
  for (int n = 0; n < 1 << (kAll - kTurns); ++n) {
    const int base = (n & ((1 << kFirst) - 1)) | (n >> kFirst) << (kFirst + kTurns);
    Reg<Real> v[2][1 << kTurns], w[2][1 << kTurns];
#pragma GCC unroll 4
    for (int k = 0; k < 1 << kTurns; ++k)
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
        v[part][k] = load(at + place[base + (k << kFirst)] + part * kLanes<Real>);
        w[part][k] = load(to + place[base + (k << kFirst)] + part * kLanes<Real>);
      }
#pragma GCC unroll 2
    for (int t = kTurns - 1; t >= 0; --t) {
      const int r = kFirst + t;
      const Reg<Real> s = q.s[r][whole[r]];
      Reg<Real> sum{}, flip{};
#pragma GCC unroll 4
      for (int k = 0; k < 1 << kTurns; ++k) {
        if (k & (1 << t)) continue;
        const int j = k | (1 << t);
        flip += w[0][k] * v[1][j];
        flip -= w[1][k] * v[0][j];
        flip += w[0][j] * v[1][k];
        flip -= w[1][j] * v[0][k];
#pragma GCC unroll 2
        for (int part = 0; part < 2; ++part) {
          sum += w[part][j] * v[part][k];
          sum -= w[part][k] * v[part][j];
          turn_pair<Real, kScaled>(v[part][k], v[part][j], q.c[r], s);
          turn_pair<Real, kScaled>(w[part][k], w[part][j], q.c[r], s);
        }
      }
      total[r] += whole[r] ? -sum : sum;
      flips[r] += flip;
    }
#pragma GCC unroll 4
    for (int k = 0; k < 1 << kTurns; ++k)
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {
        store(at + place[base + (k << kFirst)] + part * kLanes<Real>, v[part][k]);
        store(to + place[base + (k << kFirst)] + part * kLanes<Real>, w[part][k]);
      }
  }
}

template <typename Real, int kAll, bool kScaled, int kFirst = 0>
inline __attribute__((always_inline)) void turn_all_whole(Real* at, Real* to, const u64* place,
                                                          const BlockCoefficients<Real>& q, const int* whole,
                                                          Reg<Real>* total, Reg<Real>* flips) {
  constexpr int turns = kAll - kFirst < kTurnsWhole ? kAll - kFirst : kTurnsWhole;
  if constexpr (turns > 0) {
    turn_part_whole<Real, kAll, kFirst, turns, kScaled>(at, to, place, q, whole, total, flips);
    turn_all_whole<Real, kAll, kScaled, kFirst + turns>(at, to, place, q, whole, total, flips);
  }
}

// The turns of a block, at most kMost at once.
template <typename Real, int kAll, int kMost, bool kOwn, bool kScaled, int kFirst = 0>
inline __attribute__((always_inline)) void turn_all(Real* at, const u64* place, const TurnBlock& op,
                                                    const BlockCoefficients<Real>& q, const int* whole) {
  constexpr int turns = kAll - kFirst < kMost ? kAll - kFirst : kMost;
  if constexpr (turns > 0) {
    turn_part<Real, kAll, kFirst, turns, kOwn, kScaled>(at, place, op, q, whole);
    turn_all<Real, kAll, kMost, kOwn, kScaled, kFirst + turns>(at, place, op, q, whole);
  }
}

template <typename Real, int kAll, int kMost, bool kOwn, bool kScaled, int kFirst = 0>
inline __attribute__((always_inline)) void turn_all_back(Real* at, Real* to, const u64* place, const TurnBlock& op,
                                                         const BlockCoefficients<Real>& q, const int* whole,
                                                         Reg<Real>* total) {
  constexpr int turns = kAll - kFirst < kMost ? kAll - kFirst : kMost;
  if constexpr (turns > 0) {
    turn_part_back<Real, kAll, kFirst, turns, kOwn, kScaled>(at, to, place, op, q, whole, total);
    turn_all_back<Real, kAll, kMost, kOwn, kScaled, kFirst + turns>(at, to, place, op, q, whole, total);
  }
}

// Where the elements of the block at i are, and its signs.
template <typename Real, int kAll, bool kSigned>
struct BlockPlace {
  u64 offset[1 << kAll], place[1 << kAll];
  int whole[kAll] = {};

  explicit BlockPlace(const TurnBlock& op) {
    for (int k = 0; k < 1 << kAll; ++k) offset[k] = op.offset[k] * (2 * kLanes<Real>);
  }

  inline __attribute__((always_inline)) void go_to(const TurnBlock& op, u64 i) {
    const u64 at = i * (2 * kLanes<Real>);
#pragma GCC unroll 16
    for (int k = 0; k < 1 << kAll; ++k) place[k] = at ^ offset[k];
    if constexpr (kSigned)
      for (int r = 0; r < kAll; ++r) whole[r] = parity(i & op.signs[r]);
  }
};

template <typename Real, int kAll, bool kSigned, bool kOwn, bool kScaled>
void turns_loop(Real* psi, const TurnBlock& op, const BlockAngles<Real>& angles, unsigned negate, u64 begin, u64 end) {
  const Items items(op.index);
  BlockPlace<Real, kAll, kSigned> block(op);
  for (int reg = 0; reg < Lanes<Real>::count; ++reg) {
    const BlockCoefficients<Real> q(op, angles, reg, negate);
    Real* p = psi + reg * Lanes<Real>::width;
    items.each(begin, end, [&](u64 i) __attribute__((always_inline)) {
      block.go_to(op, i);
      turn_all<Real, kAll, kTurnsAtOnce, kOwn, kScaled>(p, block.place, op, q, block.whole);
      turn_all<Real, kAll, kTurnsAtOnce, kOwn, kScaled>(p + kLanes<Real>, block.place, op, q, block.whole);
    });
  }
}

template <typename Real, int kAll, bool kSigned, bool kOwn, bool kScaled, bool kFlips>
void turns_reverse_loop(Real* psi, Real* lambda, const TurnBlock& op, const BlockAngles<Real>& angles, unsigned negate,
                        u64 begin, u64 end, double* sums, double* flips) {
  const Items items(op.index);
  BlockPlace<Real, kAll, kSigned> block(op);
  for (int reg = 0; reg < Lanes<Real>::count; ++reg) {
    const BlockCoefficients<Real> q(op, angles, reg, ~negate);
    const int at = reg * Lanes<Real>::width;
    Reg<Real> total[kAll], flip[kAll];
    for (int r = 0; r < kAll; ++r) total[r] = flip[r] = Reg<Real>{};
    for (u64 start = begin; start < end; start += kFlush) {
      const u64 stop = start + kFlush < end ? start + kFlush : end;
      items.each(start, stop, [&](u64 i) __attribute__((always_inline)) {
        block.go_to(op, i);
        if constexpr (kFlips) {
          turn_all_whole<Real, kAll, kScaled>(psi + at, lambda + at, block.place, q, block.whole, total, flip);
        } else {
          for (int part = 0; part < 2; ++part)
            turn_all_back<Real, kAll, kTurnsBack, kOwn, kScaled>(psi + at + part * kLanes<Real>,
                                                                 lambda + at + part * kLanes<Real>, block.place, op, q,
                                                                 block.whole, total);
        }
      });
      constexpr int together = kFlips ? kTurnsWhole : kTurnsBack;
      double lost = 1;
      for (int first = 0; first < kAll; first += together)
        for (int r = (first + together < kAll ? first + together : kAll) - 1; r >= first; --r) {
          for (int w = 0; w < Lanes<Real>::width; ++w)
            sums[r * kLanes<Real> + at + w] += lost * static_cast<double>(total[r][w]);
          if constexpr (kFlips)
            for (int w = 0; w < Lanes<Real>::width; ++w)
              flips[r * kLanes<Real> + at + w] += lost * static_cast<double>(flip[r][w]);
          total[r] = flip[r] = Reg<Real>{};
          lost *= angles.lost[r];
        }
    }
  }
}

// Calls `call` with the number of turns, the two flags of their signs and whether they are scaled as compile-time
// constants.
template <typename Call>
inline void choose_block(const TurnBlock& op, bool scaled, Call choice) {
  auto call = [&](auto turns, auto is_signed, auto own) {
    if (scaled)
      choice(turns, is_signed, own, std::true_type{});
    else
      choice(turns, is_signed, own, std::false_type{});
  };
  bool is_signed = false, own = false;
  for (int r = 0; r < op.turns; ++r) {
    is_signed = is_signed || op.signs[r];
    own = own || op.own[r];
  }
  auto with = [&](auto turns) {
    if (own)
      call(turns, std::true_type{}, std::true_type{});
    else if (is_signed)
      call(turns, std::true_type{}, std::false_type{});
    else
      call(turns, std::false_type{}, std::false_type{});
  };
  switch (op.turns) {
    case 1:
      return with(std::integral_constant<int, 1>{});
    case 2:
      return with(std::integral_constant<int, 2>{});
    case 3:
      return with(std::integral_constant<int, 3>{});
    default:
      return with(std::integral_constant<int, 4>{});
  }
}

template <typename Real>
void turns(Real* psi, const TurnBlock& op, const BlockAngles<Real>& angles, unsigned negate, u64 begin, u64 end) {
  choose_block(op, angles.scaled, [&](auto count, auto is_signed, auto own, auto scaled) {
    turns_loop<Real, count.value, is_signed.value, own.value, scaled.value>(psi, op, angles, negate, begin, end);
  });
}

template <typename Real>
void turns_reverse(Real* psi, Real* lambda, const TurnBlock& op, const BlockAngles<Real>& angles, unsigned negate,
                   u64 begin, u64 end, double* sums, double* flips) {
  choose_block(op, angles.scaled, [&](auto count, auto is_signed, auto own, auto scaled) {
    if constexpr (!own.value)
      if (flips)
        return turns_reverse_loop<Real, count.value, is_signed.value, false, scaled.value, true>(
            psi, lambda, op, angles, negate, begin, end, sums, flips);
    turns_reverse_loop<Real, count.value, is_signed.value, own.value, scaled.value, false>(
        psi, lambda, op, angles, negate, begin, end, sums, nullptr);
  });
}

template <typename Real, bool kShuffle>
void flip_inner_loop(const Real* psi, const Real* lambda, const GateOp<Real>& op, u64 begin, u64 end, double* out) {
  const LaneXor<Real> x(op.x_lo);
  Half<Real> sum = zero_half<Real>();
  for (u64 start = begin; start < end; start += kFlush) {
    const u64 stop = start + kFlush < end ? start + kFlush : end;
    for (u64 i = start; i < stop; ++i) {
      const Amplitude<Real> l = load_group(lambda, i), b = load_group(psi, i ^ op.x_hi);
      const Amplitude<Real> pb = partner<Real, kShuffle>(psi, i ^ op.x_hi, b, x);
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        sum.r[k] += l.re.r[k] * pb.im.r[k];
        sum.r[k] -= l.im.r[k] * pb.re.r[k];
      }
    }
    flush<Real>(sum, out);
  }
}

template <typename Real>
void flip_inner(const Real* psi, const Real* lambda, const GateOp<Real>& op, u64 begin, u64 end, double* sum) {
  if (op.x_lo)
    flip_inner_loop<Real, true>(psi, lambda, op, begin, end, sum);
  else
    flip_inner_loop<Real, false>(psi, lambda, op, begin, end, sum);
}

}  // namespace
}  // namespace ketgrad
