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

Shuffle::Shuffle(const std::vector<Op>& moves, const Geometry& g, int lane_bits) : lane_bits_(lane_bits) {
  for (const Op& op : moves) {
    const u64 high = op.signs >> lane_bits, lanes = low_ones(lane_bits);
    moves_.push_back({g.flips(op.flips >> lane_bits) << lane_bits | (op.flips & lanes),
                      g.signs(high) << lane_bits | (op.signs & lanes), high & g.outside, op.even});
  }
  for (int inverse = 0; inverse < 2; ++inverse) {
    auto of_bit = [&](int bit) { return position(source(u64{1} << bit, inverse, nullptr)); };
    Sources& s = sources_[static_cast<std::size_t>(inverse)];
    s.lanes = tabulate(lane_bits, of_bit);
    s.groups = tabulate(std::countr_zero(g.groups()), [&](int bit) { return of_bit(lane_bits + bit); });
  }
}

u64 Shuffle::source(u64 index, bool inverse, const u64* base) const {
  const std::size_t n = moves_.size();
  for (std::size_t k = 0; k < n; ++k) {  // each move is its own inverse
    const Move& m = moves_[inverse ? k : n - 1 - k];
    const bool moves = is_odd(index & m.signs) != (base && (is_odd(*base & m.outside) != m.even));
    if (moves) index ^= m.flips;
  }
  return index;
}

std::uint32_t Shuffle::position(u64 index) const {
  return static_cast<std::uint32_t>(index >> lane_bits_ << (lane_bits_ + 1) | (index & low_ones(lane_bits_)));
}

std::uint32_t Shuffle::offset(u64 base, bool inverse) const { return position(source(0, inverse, &base)); }

}  // namespace ketgrad
