// Many moves at once: a linear map of a tile's indices over GF(2), done by gathering each amplitude from where it was.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "geometry.hpp"
#include "ops.hpp"

namespace ketgrad {

class Shuffle {
 public:
  // `moves` in order, of Kind Move.
  Shuffle(const std::vector<Op>& moves, const Geometry& geometry, int lane_bits);

  int moves() const { return static_cast<int>(moves_.size()); }

  // Where amplitudes come from, as positions of their real parts: that of lane l of group t is
  // groups[t] ^ lanes[l] ^ offset(base).
  struct Sources {
    std::vector<std::uint32_t> groups, lanes;
  };
  const Sources& sources(bool inverse) const { return sources_[inverse]; }
  std::uint32_t offset(std::uint64_t base, bool inverse) const;

 private:
  struct Move {  // of an index of the tile, lanes below
    std::uint64_t flips, signs, outside;
    bool even;
  };

  // The index that an amplitude comes from. `base`: null for the linear part alone.
  std::uint64_t source(std::uint64_t index, bool inverse, const std::uint64_t* base) const;
  std::uint32_t position(std::uint64_t index) const;

  int lane_bits_;
  std::vector<Move> moves_;
  std::array<Sources, 2> sources_;
};

}  // namespace ketgrad
