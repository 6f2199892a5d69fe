#include "geometry.hpp"

#include <algorithm>
#include <bit>

namespace ketgrad {

Geometry::Geometry(const Span& span, int rows, int group_bits, int chunk_bits, bool spread) : row_bits(rows) {
  std::vector<std::pair<u64, u64>> by_pivot;
  for (std::size_t k = 0; k < span.directions.size(); ++k) by_pivot.emplace_back(span.pivots[k], span.directions[k]);
  std::sort(by_pivot.begin(), by_pivot.end());
  outside = low_ones(group_bits);
  const int low = std::min(chunk_bits, kSetBits) - rows;
  spread = spread && low > 0 && rows + static_cast<int>(by_pivot.size()) > chunk_bits;
  for (const auto& [pivot, direction] : by_pivot) {
    if (!spread && directions.empty() && direction == u64{1} << row_bits) {
      ++row_bits;
    } else {
      pivots.push_back(pivot);
      directions.push_back(direction);
    }
    outside &= ~pivot;
  }
  outside &= ~this->rows();
  for (std::size_t k = 0; k < directions.size(); ++k) {
    const int beyond = rows + static_cast<int>(k) - chunk_bits;
    along.push_back(spread && beyond >= 0 ? static_cast<std::size_t>(beyond % low) : k);
    if (along[k] != k) directions[k] ^= directions[along[k]];
  }
  offsets.resize(std::size_t{1} << directions.size());
  for (std::size_t r = 1; r < offsets.size(); ++r)
    offsets[r] = offsets[r & (r - 1)] ^ directions[static_cast<std::size_t>(std::countr_zero(r))];
}

u64 Geometry::flips(u64 v) const {
  u64 out = v & rows();
  for (std::size_t k = 0; k < pivots.size(); ++k) {
    if (!(v & pivots[k])) continue;
    out ^= u64{1} << (row_bits + static_cast<int>(k));
    if (along[k] != k) out ^= u64{1} << (row_bits + static_cast<int>(along[k]));
  }
  return out;
}

u64 Geometry::signs(u64 u) const {
  u64 out = u & rows();
  for (std::size_t k = 0; k < directions.size(); ++k)
    if (is_odd(u & directions[k])) out |= u64{1} << (row_bits + static_cast<int>(k));
  return out;
}

}  // namespace ketgrad
