// Small functions of bit masks.
#pragma once

#include <bit>
#include <cstdint>

namespace ketgrad {

using u64 = std::uint64_t;

inline u64 low_ones(int bits) { return bits >= 64 ? ~u64{0} : (u64{1} << bits) - 1; }

inline constexpr int kSetBits = 5;  // of a group index, where groups are 128 bytes: 4 KiB

inline bool is_odd(u64 bits) { return std::popcount(bits) & 1; }

inline int sign_of(u64 bits) { return is_odd(bits) ? -1 : 1; }

// The bits of `value` under `mask`, packed.
inline u64 extract_bits(u64 value, u64 mask) {
  u64 out = 0;
  for (int b = 0; mask; ++b, mask &= mask - 1) out |= static_cast<u64>((value & mask & -mask) != 0) << b;
  return out;
}

// The lowest bits of `value`, put where `mask` has ones.
inline u64 deposit_bits(u64 value, u64 mask) {
  u64 out = 0;
  for (; mask; value >>= 1, mask &= mask - 1)
    if (value & 1) out |= mask & -mask;
  return out;
}

// The sign of a lane under a mask of lane bits.
inline int lane_sign(int lane, u64 mask) { return sign_of(static_cast<u64>(lane) & mask); }

}  // namespace ketgrad
