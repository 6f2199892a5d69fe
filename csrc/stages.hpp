// How the stages of a pass share chunks of a tile, for whoever runs them.
#pragma once

#include "tiles.hpp"

namespace ketgrad {

// The turns that go the other way in the chunk that begins at this coordinate.
inline unsigned beyond(const TileBlock& block, u64 chunk) {
  unsigned out = 0;
  for (std::size_t r = 0; r < block.beyond.size(); ++r)
    out |= static_cast<unsigned>(is_odd(chunk & block.beyond[r])) << r;
  return out;
}

// Calls work(first, last, chunks) for each run of stages of [from, to) that can share chunks. Of stages that are
// `counted` a run has one at most.
template <typename Stages, typename Counted, typename Work>
void runs(const Stages& stages, u64 chunks, std::size_t from, std::size_t to, Counted counted, Work work) {
  while (from < to) {
    std::size_t end = from + 1;
    bool one = counted(from);
    if (stages[from].local)
      while (end < to && stages[end].local && !(one && counted(end))) one = counted(end++) || one;
    work(from, end, stages[from].local ? chunks : u64{1});
    from = end;
  }
}

}  // namespace ketgrad
