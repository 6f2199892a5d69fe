#include "shuffles.hpp"

#include "bits.hpp"

namespace ketgrad {

namespace {

// values[x] for all x < 2^bits of a linear function.
template <typename F>
std::vector<std::uint32_t> tabulate(int bits, F f) {
  std::vector<std::uint32_t> out(std::size_t{1} << bits);
  for (int b = 0; b < bits; ++b)
    for (std::size_t x = 0; x < std::size_t{1} << b; ++x) out[x | std::size_t{1} << b] = out[x] ^ f(b);
  return out;
}

}  // namespace

Shuffle::Shuffle(Relabelling map, const Geometry& g, int lane_bits)
    : lane_bits_(lane_bits),
      from_{map.inverse(), std::move(map)} {
  for (std::size_t inverse = 0; inverse < 2; ++inverse) {
    auto of_group = [&](u64 groups) { return position(g, from_[inverse].linear(groups << lane_bits)); };
    Sources& s = sources_[inverse];
    s.lanes = tabulate(lane_bits, [&](int bit) { return position(g, from_[inverse].linear(u64{1} << bit)); });
    s.groups = tabulate(std::countr_zero(g.groups()), [&](int bit) {
      return of_group(bit < g.row_bits ? u64{1} << bit : g.directions[static_cast<std::size_t>(bit - g.row_bits)]);
    });
  }
}

std::uint32_t Shuffle::position(const Geometry& g, u64 v) const {
  return static_cast<std::uint32_t>(g.flips(v >> lane_bits_) << (lane_bits_ + 1) | (v & low_ones(lane_bits_)));
}

std::uint32_t Shuffle::offset(const Geometry& g, u64 base, bool inverse) const {
  const u64 index = base << lane_bits_;
  return position(g, from_[inverse](index) ^ index);
}

}  // namespace ketgrad
