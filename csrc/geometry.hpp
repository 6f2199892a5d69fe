// The coordinates of a tile: which groups of the state it has, and what flips and signs are among them.
#pragma once

#include <cstdint>
#include <vector>

#include "planner.hpp"

namespace ketgrad {

// From group indices to coordinates of a tile.
//
// Groups that differ in a high coordinate only would lie a multiple of 4 KiB apart, all in one set of the first-level
// cache, which holds fewer lines than a block of turns needs. In a `spread` tile a direction beyond a chunk therefore
// takes one of those below 4 KiB along: the coset is the same, and its groups lie in several sets.
struct Geometry {
  int row_bits = 0;                       // of contiguous rows; if not spread, directions that continue a row join it
  std::vector<std::uint64_t> directions;  // beyond the rows, ascending pivots
  std::vector<std::uint64_t> pivots;
  std::vector<std::size_t> along;      // for each direction the one that it takes along, or itself
  std::uint64_t outside = 0;           // bits of a base
  std::vector<std::uint64_t> offsets;  // of the rows

  Geometry() = default;
  Geometry(const Span& span, int row_bits, int group_bits, int chunk_bits, bool spread);

  std::uint64_t groups() const { return offsets.size() << row_bits; }
  std::uint64_t rows() const { return (std::uint64_t{1} << row_bits) - 1; }
  bool contiguous() const { return offsets.size() == 1; }
  std::uint64_t flips(std::uint64_t v) const;  // coordinates of a vector of the span
  std::uint64_t signs(std::uint64_t u) const;  // parity(i & u) = parity(t & signs(u)) + parity(base & u)
};

}  // namespace ketgrad
