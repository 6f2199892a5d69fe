// Cuts the ops of a large circuit into passes over memory, and a pass into steps. Knows bits and words, and which ops
// commute; knows no kernel.
//
// A pass brings tiles into the cache, one after another, and runs many ops on each. A tile is a coset: all group
// indices that differ in a combination of the pass's directions, among them the lowest bits, so that a row of a tile is
// contiguous in memory. An op can run in a pass whose directions span what it flips. What it only looks at (signs,
// controls, diagonals) need not be there: it has one value for a whole tile, or one for each coordinate.
#pragma once

#include <cstdint>
#include <vector>

#include "words.hpp"

namespace ketgrad {

// The sizes of tiles. Tests set them tiny.
struct Tiling {
  int row_bits = 3;    // bits of the group index that every tile has: rows of 2^3 groups are 1 KiB
  int tile_bits = 11;  // 2^11 groups are 256 KiB: ket and bra of a tile fit into half a MiB of second-level cache
  int least_bits = 6;  // of the group index; smaller single states run gate by gate
  int chunk_bits = 7;  // 2^7 groups are 16 KiB: stages that stay inside run on a chunk before the next
};

Tiling tiling();
void set_tiling(const Tiling& tiling);

// Directions beyond a row: each has a pivot, a bit that no other direction has.
class Span {
 public:
  std::vector<std::uint64_t> directions, pivots;

  // What is left of a vector of group bits above the rows.
  std::uint64_t reduce(std::uint64_t v) const {
    for (std::size_t k = 0; k < directions.size(); ++k)
      if (v & pivots[k]) v ^= directions[k];
    return v;
  }
  void add(std::uint64_t reduced);  // not 0
  void extend(std::uint64_t v) {
    if (const std::uint64_t left = reduce(v)) add(left);
  }
};

// What runs at once: one layer of phases, a few turns that flip no lanes, or one other op.
struct Stage {
  OpKind kind;
  std::vector<int> ops;
};

struct Pass {
  Span span;
  std::vector<Stage> stages;
  bool whole = false;  // its one gate moves more bits than a tile has: it runs on the whole state
};

std::vector<Pass> plan_passes(const std::vector<Op>& ops, int lane_bits, int group_bits, const Tiling& tiling);

}  // namespace ketgrad
