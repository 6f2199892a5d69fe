// Cosines and sines of many half angles, register by register.
#pragma once

#include "lanes.inc.hpp"

namespace ketgrad {
namespace {

// 1 / n! with the signs of the series of the sine (odd n) or of the cosine (even n)
constexpr double series_term(int n) {
  double out = n & 2 ? -1.0 : 1.0;
  for (int k = 2; k <= n; ++k) out /= k;
  return out;
}

// c = cos(angle / 2), s = sin(angle / 2), to 4e-16; what is meant to be 0 is 0, as from `snap`. count: a multiple of 8.
//
// half = quarters * pi/2 + r with |r| <= pi/4. The first two parts of pi/2 have 33 bits, so their multiples are exact
// below 2^19; of larger angles the library knows more.
inline void half_angles(const double* angles, u64 count, double* c, double* s) {
  using Vector = Reg<double>;
  typedef long long Integers __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
  constexpr double kPart1 = 0x1.921fb544p+0, kPart2 = 0x1.0b4611a6p-34, kPart3 = 0x1.3198a2e037073p-69;
  constexpr double kRound = 0x1.8p52, kMost = 0x1p19, kTiny = 1e-15;  // kTiny: that of `snap`
  constexpr u64 width = static_cast<u64>(Lanes<double>::width);
  Integers far{};
  for (u64 i = 0; i < count; i += width) {
    const Vector half = load(angles + i) * 0.5;
    const Vector shifted = half * 0x1.45f306dc9c883p-1 + kRound;  // 2 / pi
    const Vector n = shifted - kRound;
    const Integers quarter = (Integers)shifted;  // the low bits are those of the integer
    const Vector r = ((half - n * kPart1) - n * kPart2) - n * kPart3, z = r * r;
    Vector sine = Vector{} + series_term(17), cosine = Vector{} + series_term(16);
#pragma GCC unroll 8
    for (int k = 14; k > 0; k -= 2) {
      sine = sine * z + series_term(k + 1);
      cosine = cosine * z + series_term(k);
    }
    sine = r * z * sine + r;
    cosine = cosine * z + 1.0;
    const Integers odd = -(quarter & 1);
    Integers to_c = (odd & (Integers)sine) | (~odd & (Integers)cosine);
    Integers to_s = (odd & (Integers)cosine) | (~odd & (Integers)sine);
    to_c ^= ((quarter + 1) & 2) << 62;
    to_s ^= (quarter & 2) << 62;
    const Vector x = (Vector)to_c, y = (Vector)to_s;
    store(c + i, (Vector)((Integers)x & ~((x < kTiny) & (x > -kTiny))));
    store(s + i, (Vector)((Integers)y & ~((y < kTiny) & (y > -kTiny))));
    far |= ~((half < kMost) & (half > -kMost));
  }
  bool some = false;
  for (u64 l = 0; l < width; ++l) some = some || far[l];
  if (!some) return;
  for (u64 i = 0; i < count; ++i)
    if (const double half = angles[i] * 0.5; !(half < kMost && half > -kMost)) {
      c[i] = __builtin_cos(half);
      s[i] = __builtin_sin(half);
    }
}

}  // namespace
}  // namespace ketgrad
