// What many moves do together: an affine map of indices over GF(2), and the fewest passes that carry it out.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ops.hpp"
#include "planner.hpp"

namespace ketgrad {

class Relabelling {
 public:
  explicit Relabelling(int bits);  // that changes nothing
  // Of the linear part, a column for each bit.
  Relabelling(std::vector<std::uint64_t> columns, std::uint64_t offset)
      : columns_(std::move(columns)),
        offset_(offset) {}
  // `moves` in order, of Kind Move.
  Relabelling(int bits, const std::vector<Op>& moves);

  int bits() const { return static_cast<int>(columns_.size()); }
  std::uint64_t linear(std::uint64_t index) const;
  std::uint64_t offset() const { return offset_; }
  std::uint64_t operator()(std::uint64_t index) const { return linear(index) ^ offset_; }
  Relabelling inverse() const;
  Relabelling after(const Relabelling& first) const;

 private:
  std::vector<std::uint64_t> columns_;
  std::uint64_t offset_ = 0;
};

// A map that leaves every coset of the lanes, the rows and the span as a whole.
struct MovePass {
  Span span;
  Relabelling map;
};

// In order. Of tiles of the usual size, or twice that where they save a pass.
std::vector<MovePass> move_passes(Relabelling map, int lane_bits, int group_bits, const Tiling& tiling);

}  // namespace ketgrad
