// A pass of the plan in the coordinates of a tile: the operands of its stages.
//
// A tile's groups lie packed in a buffer. Coordinate t of a group: its lowest bits are those of the row, each further
// bit says whether a direction of the pass is taken. What a stage reads outside, a sign or whether controls hold, is
// one fact for a whole tile, told by its base.
#pragma once

#include <algorithm>
#include <vector>

#include "compiled.hpp"
#include "geometry.hpp"
#include "shuffles.hpp"

namespace ketgrad {

struct TileLayer {
  struct Member {
    int op;
    std::uint64_t lanes, tile, outside;
    int mask = -1, sum = -1;  // of a trained member: index into `masks`, and its place among the sums of the layer
  };
  std::vector<Member> fixed, scalars, lanes;  // no tile part: same for all tiles; one number; one for each lane
  std::vector<Member> table;                  // no lanes
  std::vector<Member> varied;                 // with an angle for each lane
  std::vector<std::pair<std::uint64_t, std::vector<Member>>> cross;  // by lanes
  bool table_varies = false;                                         // some member of a table has a sign from outside
  std::vector<std::uint64_t> masks;                                  // of trained members, ascending
  std::vector<Member> trained;
};

// What a sweep back measures of a block beside its turns: nothing, or the flips of full ops, with the turns in one go,
// or before them where a flip does not commute with another turn.
enum class Flips : std::uint8_t { None, Together, Apart };

struct TileBlock {
  TurnBlock block;
  std::vector<int> ops;
  std::vector<std::uint64_t> lanes, outside;
  std::vector<std::uint64_t> beyond;  // of a local block: signs that a chunk has one value for
  bool varies;                        // a turn has an angle for each lane
  Flips flips;
};

template <typename Real>
struct TileTurn {  // one that flips lanes
  GateOp<Real> gate;
  int op;
  std::uint64_t outside;
};

template <typename Real>
struct TileMove {
  MoveOp<Real> of[2];  // for either sign from outside
  bool moves[2];       // whether anything does
  std::uint64_t outside;
};

// A gate: the operand in the coordinates of the tile; the masks are of the base, or of a table's rows.
template <typename Real>
struct TileGate {
  Kind kind;
  int op, step;
  std::uint64_t signs = 0, controls = 0, values = 0;
  GateOp<Real> gate;
  MixOp<Real> mix, inverse_mix;
  DenseOp<Real> dense;
  const DenseOperand<Real>* matrices = nullptr;
  int operand = -1;  // which one that is
  std::vector<std::uint64_t> offsets;
  TableOp<Real> table;
};

// Part `index` of `count` equal ones.
struct Part {
  std::uint64_t index = 0, count = 1;

  std::uint64_t begin(std::uint64_t items) const { return items / count * index; }
  std::uint64_t end(std::uint64_t items) const { return items / count * (index + 1); }
};

// What a pass does, in numbers.
struct PassFacts {
  std::uint64_t tile_bytes, tiles, visited;  // of a tile; how many there are, and how many can be other than 0
  int turns, lane_turns, blocks, layers, phases, crossings, moves, gates;
  bool varies;  // a table of phases differs from tile to tile
  bool whole;   // one gate on the whole state
};

template <typename Real>
struct TilePass {
  struct Stage {
    OpKind kind;
    bool lanes;    // of turns: one that flips lanes
    bool local;    // it couples groups of one chunk only
    bool shuffle;  // of moves: many at once
    int index;     // into the vector of its kind

    bool takes_factor() const { return kind == OpKind::Phase || kind == OpKind::Turn; }
  };
  Geometry geometry;
  int chunk_bits;
  std::size_t span_size = 0;  // directions of the pass
  Span before, support;       // with the rows, where amplitudes can be other than 0 before and after it, from |0..0> on
  bool begins_whole = false;  // before it that is everywhere
  int whole = -1;             // or the step that runs on the whole state
  std::vector<Stage> stages;
  std::vector<TileLayer> layers;
  std::vector<TileBlock> blocks;
  std::vector<TileTurn<Real>> turns;
  std::vector<GateOp<Real>> flips;  // of each turn of a block, kBlockTurns a block
  std::vector<TileMove<Real>> moves;
  std::vector<Shuffle> shuffles;
  int n_moves = 0;  // in both
  std::vector<TileGate<Real>> gates;
  std::vector<bool> trained;      // whether a stage has an op with a gradient
  std::vector<std::size_t> sums;  // of each stage, where its sums begin, in units of a group's lanes
  std::size_t n_sums = 0;
  std::vector<std::uint64_t> live;  // from |0..0> on, the groups up to here can be other than 0 after each stage
  bool settles_forward = true, settles_back = true;  // no pass follows at once, in that direction, that takes a factor

  TilePass(const Compiled<Real>& compiled, const std::vector<Op>& ops, const std::vector<bool>& trained_ops,
           const Pass& pass, int row_bits, int chunk_bits);
  TilePass(const Compiled<Real>& compiled, MovePass pass, int row_bits, int chunk_bits);
  bool only_moves() const { return stages.size() == 1 && stages[0].shuffle; }
  std::uint64_t chunks() const { return std::max(std::uint64_t{1}, geometry.groups() >> chunk_bits); }
  PassFacts facts(std::uint64_t groups_of_state) const;
  std::uint64_t reached(const Stage& stage) const;  // `live` after it
  TilePass(const TilePass&) = delete;               // operands point into it
  TilePass(TilePass&&) = default;
};

}  // namespace ketgrad
