#include "tile_plan.hpp"

#include <algorithm>
#include <bit>

namespace ketgrad {

namespace {

// Of a state that has fewer than 2^3 large ones, so that threads have something to share.
constexpr int kSmallTileBits = 9;

// States of 32 MiB and more come from afar: rows of twice the length come faster, unless they take more passes.
constexpr int kLongRowsFrom = 18;

std::vector<bool> find_trained(const Source& source, const Words& words) {
  std::vector<bool> out;
  for (const Op& op : words.ops) {
    int instruction = op.gate;
    bool group = false;
    if (op.angle >= 0) {
      const Angle& a = words.angles[static_cast<std::size_t>(op.angle)];
      instruction = a.factor == 0 ? -1 : a.instruction;
      group = a.group >= 0 && words.groups[static_cast<std::size_t>(a.group)].trained && a.part > 0;
    }
    const auto turns = [&](const Instruction& in) {
      return in.slot >= 0 && in.opcode != static_cast<std::uint8_t>(Opcode::Kraus);
    };
    out.push_back(group || (instruction >= 0 && turns(source.instructions[static_cast<std::size_t>(instruction)])));
  }
  return out;
}

}  // namespace

template <typename Real>
TilePlan<Real>::TilePlan(const Source& source, int lane_bits)
    : words(source, lane_bits, tiling().chunk_bits),
      trained(find_trained(source, words)),
      gates(source.instructions.size()),
      compiled(source, words.terms, lane_bits) {
  Tiling sizes = tiling();
  for (const Op& op : words.ops) {
    if (op.kind == OpKind::Gate) gates[static_cast<std::size_t>(op.gate)] = true;
    lane_angle_of.emplace_back(-1, 1);
    if (!op.varies) continue;
    const Angle& angle = words.angles[static_cast<std::size_t>(op.angle)];
    const Step& step = compiled.steps[static_cast<std::size_t>(angle.instruction)];
    const int sign = angle.factor * step.scale < 0 ? -1 : 1;
    const LaneAngle own{step.slot - source.n_shared, sign * angle.factor * step.scale,
                        sign * (angle.constant + angle.factor * step.offset)};
    const auto at = std::find(lane_angles.begin(), lane_angles.end(), own);
    lane_angle_of.back() = {static_cast<int>(at - lane_angles.begin()), sign};
    if (at == lane_angles.end()) lane_angles.push_back(own);
  }
  const int group_bits = std::countr_zero(compiled.layout.groups);
  if (lane_bits > 0)
    sizes.tile_bits = std::min(sizes.tile_bits, std::max(kSmallTileBits, group_bits - 3));
  else
    sizes.tile_bits = group_bits;
  Span support;
  auto everywhere = [&] { return row_bits + static_cast<int>(support.directions.size()) == group_bits; };
  complete = true;
  std::vector<Pass> planned = plan_passes(words.ops, lane_bits, group_bits, sizes);
  if (group_bits >= kLongRowsFrom) {
    Tiling longer = sizes;
    ++longer.row_bits;
    std::vector<Pass> other = plan_passes(words.ops, lane_bits, group_bits, longer);
    if (other.size() <= planned.size()) {
      planned = std::move(other);
      sizes = longer;
    }
  }
  row_bits = std::min(sizes.row_bits, group_bits);
  for (const Pass& pass : planned) {
    passes.emplace_back(compiled, words.ops, trained, pass, row_bits, sizes.chunk_bits);
    passes.back().before = support;
    passes.back().begins_whole = everywhere();
    complete = complete && (!pass.whole || everywhere());
    for (const u64 direction : pass.span.directions) support.extend(direction);
    if (pass.whole)
      for (int b = row_bits; b < group_bits; ++b) support.extend(u64{1} << b);
    passes.back().support = support;
    passes.back().span_size = pass.span.directions.size();
  }
  complete = complete && everywhere();
  auto takes_factor = [](const TilePass<Real>& pass) {
    return std::any_of(pass.stages.begin(), pass.stages.end(), [](const auto& stage) { return stage.takes_factor(); });
  };
  for (std::size_t p = 1; p < passes.size(); ++p) {
    passes[p - 1].settles_forward = !takes_factor(passes[p]);
    passes[p].settles_back = !takes_factor(passes[p - 1]);
  }
  auto plan_moves = [&](const std::vector<Op>& moves, std::vector<TilePass<Real>>& out) {
    if (lane_bits > 0) {  // samples as lanes have one tile, and move within it
      for (MovePass& pass : move_passes(Relabelling(lane_bits + group_bits, moves), lane_bits, group_bits, sizes))
        out.emplace_back(compiled, std::move(pass), row_bits, sizes.chunk_bits);
      return;
    }
    const std::vector<bool> none(moves.size());
    for (const Pass& pass : plan_passes(moves, lane_bits, group_bits, sizes))
      out.emplace_back(compiled, moves, none, pass, row_bits, sizes.chunk_bits);
  };
  plan_moves(words.head, head);
  plan_moves(words.tail, tail);
}

template struct TilePlan<float>;
template struct TilePlan<double>;

}  // namespace ketgrad
