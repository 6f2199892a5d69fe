// Random moves against the passes that carry them out: one index after another.
#pragma once

#include <cstdio>

#include "programs.hpp"
#include "relabelling.hpp"

namespace relabellings {

using programs::Draw;
using scalar::u64;

inline bool agree(u64 count) {
  Draw draw(17);
  for (u64 k = 0; k < count; ++k) {
    const int lane_bits = 1 + static_cast<int>(draw.below(4)), group_bits = 1 + static_cast<int>(draw.below(20));
    const int bits = lane_bits + group_bits, row_bits = static_cast<int>(draw.below(5));
    const ketgrad::Tiling tiling{row_bits, row_bits + 1 + static_cast<int>(draw.below(9))};
    std::vector<ketgrad::Op> moves;
    for (u64 m = draw.below(60); m > 0; --m) {
      ketgrad::Op op{ketgrad::OpKind::Move};
      op.flips = draw.mask(bits, 1 + static_cast<int>(draw.below(3)));
      op.signs = draw.mask(bits, static_cast<int>(draw.below(3)), op.flips);
      op.even = draw.chance(0.3);
      moves.push_back(op);
    }
    const ketgrad::Relabelling map(bits, moves);
    const auto passes = ketgrad::move_passes(map, lane_bits, group_bits, tiling);
    const int rows = std::min(row_bits, group_bits);
    // one more direction than a tile has, at most; and no more passes than moving every high bit takes
    const u64 width = static_cast<u64>(tiling.tile_bits - row_bits), high = static_cast<u64>(group_bits - rows);
    bool good = passes.size() <= std::max<u64>(1, (high + width - 1) / width);
    for (const auto& pass : passes) good = good && pass.span.directions.size() <= width + 1;
    for (int draws = 0; draws < 20 && good; ++draws) {
      const u64 index = draw.below(u64{1} << bits);
      u64 wanted = index, found = index;
      for (const ketgrad::Op& op : moves)
        if (ketgrad::is_odd(wanted & op.signs) != op.even) wanted ^= op.flips;
      for (const auto& pass : passes) {
        const u64 next = pass.map(found);
        good = good && pass.map.inverse()(next) == found;
        good = good && !pass.span.reduce((next ^ found) >> lane_bits & ~ketgrad::low_ones(rows));  // in its tile
        found = next;
      }
      good = good && found == wanted;
    }
    if (good) continue;
    std::printf("relabelling %llu: %d + %d bits, %zu passes\n", static_cast<unsigned long long>(k), lane_bits,
                group_bits, passes.size());
    return false;
  }
  return true;
}

}  // namespace relabellings
