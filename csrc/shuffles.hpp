// Many moves at once: a linear map of a tile's indices over GF(2), done by gathering each amplitude from where it was.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "geometry.hpp"
#include "relabelling.hpp"

namespace ketgrad {

class Shuffle {
 public:
  // Of a map that leaves every tile as a whole.
  Shuffle(Relabelling map, const Geometry& geometry, int lane_bits);

  // Where amplitudes come from, as positions of their real parts: that of lane l of group t is
  // groups[t] ^ lanes[l] ^ offset(base).
  struct Sources {
    std::vector<std::uint32_t> groups, lanes;
  };
  const Sources& sources(bool inverse) const { return sources_[inverse]; }
  std::uint32_t offset(const Geometry& geometry, std::uint64_t base, bool inverse) const;

 private:
  // That of a vector of indices which differ within a tile.
  std::uint32_t position(const Geometry& geometry, std::uint64_t v) const;

  int lane_bits_;
  std::array<Relabelling, 2> from_;  // of an index, the one that it comes from; and inverse
  std::array<Sources, 2> sources_;
};

}  // namespace ketgrad
