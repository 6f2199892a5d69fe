#include "tiles.hpp"

#include <algorithm>
#include <bit>
#include <map>

namespace ketgrad {

namespace {

constexpr std::size_t kShuffleFrom = 4;  // moves: what one by one would take longer

TileLayer make_layer(const std::vector<int>& members, const std::vector<Op>& ops, const std::vector<bool>& trained,
                     const Geometry& g, int lane_bits) {
  TileLayer out;
  std::map<u64, std::vector<TileLayer::Member>> cross;
  for (const int op : members) {
    const u64 signs = ops[static_cast<std::size_t>(op)].signs, high = signs >> lane_bits;
    TileLayer::Member m{op, signs & low_ones(lane_bits), g.signs(high), high & g.outside};
    if (trained[static_cast<std::size_t>(op)]) {
      m.sum = static_cast<int>(out.trained.size());
      out.trained.push_back(m);
      out.masks.push_back(m.tile);
    }
    if (ops[static_cast<std::size_t>(op)].varies)
      out.varied.push_back(m);
    else if (m.tile && m.lanes)
      cross[m.lanes].push_back(m);
    else if (m.tile)
      out.table.push_back(m);
    else
      (m.outside ? m.lanes ? out.lanes : out.scalars : out.fixed).push_back(m);
  }
  std::sort(out.masks.begin(), out.masks.end());
  out.masks.erase(std::unique(out.masks.begin(), out.masks.end()), out.masks.end());
  out.cross.assign(cross.begin(), cross.end());
  for (TileLayer::Member& m : out.trained)
    m.mask = static_cast<int>(std::lower_bound(out.masks.begin(), out.masks.end(), m.tile) - out.masks.begin());
  auto varies = [](const std::vector<TileLayer::Member>& list) {
    return std::any_of(list.begin(), list.end(), [](const TileLayer::Member& m) { return m.outside != 0; });
  };
  out.table_varies = varies(out.table) ||
                     std::any_of(out.cross.begin(), out.cross.end(), [&](const auto& c) { return varies(c.second); });
  return out;
}

// Whether it couples groups of one chunk only.
bool is_local(const TurnBlock& b, int chunk_bits) {
  return std::all_of(b.offset, b.offset + (1 << b.turns), [&](u64 offset) { return offset >> chunk_bits == 0; });
}

// A few flips with pivots of their own, and the blocks they make.
TileBlock make_block(const std::vector<int>& members, const std::vector<Op>& ops, const Geometry& g, int lane_bits,
                     int chunk_bits) {
  TileBlock out{};
  out.ops = members;
  TurnBlock& b = out.block;
  b.turns = static_cast<int>(members.size());
  Span span;
  u64 flips[kBlockTurns] = {};
  for (int r = 0; r < b.turns; ++r) {
    const Op& op = ops[static_cast<std::size_t>(members[static_cast<std::size_t>(r)])];
    flips[r] = g.flips(op.flips >> lane_bits);
    out.varies = out.varies || op.varies;
    if (op.full) out.flips = Flips::Together;
    b.signs[r] = g.signs(op.signs >> lane_bits);
    out.lanes.push_back(op.signs & low_ones(lane_bits));
    out.outside.push_back(op.signs >> lane_bits & g.outside);
    span.add(span.reduce(flips[r]));
  }
  u64 fixed = 0;
  for (const u64 p : span.pivots) fixed |= p;
  b.index = {fixed, 0, g.groups() >> b.turns};
  for (int k = 0; k < 1 << b.turns; ++k) {
    b.offset[k] = 0;
    for (int r = 0; r < b.turns; ++r)
      if (k >> r & 1) b.offset[k] ^= flips[r];
  }
  const bool local = is_local(b, chunk_bits);
  for (int r = 0; r < b.turns; ++r) {
    b.own[r] = 0;
    for (int k = 0; k < 1 << b.turns; ++k)
      if (!(k >> r & 1) && is_odd(b.offset[k] & b.signs[r])) b.own[r] |= static_cast<std::uint16_t>(1 << k);
    out.beyond.push_back(local ? b.signs[r] & ~low_ones(chunk_bits) : 0);
    b.signs[r] &= ~out.beyond.back();
    // a sign bit that no block varies in is the same for all: nothing to look at
    if (!(b.signs[r] & ~fixed)) b.signs[r] = 0;
    if (b.own[r] && out.flips == Flips::Together) out.flips = Flips::Apart;
  }
  return out;
}

// A turn as a pair gate: unit -s(i).
template <typename Real>
GateOp<Real> pair_of(const Op& op, const Geometry& g, int lane_bits) {
  GateOp<Real> out{};
  out.x_hi = g.flips(op.flips >> lane_bits);
  out.z_hi = g.signs(op.signs >> lane_bits);
  out.x_lo = static_cast<int>(op.flips & low_ones(lane_bits));
  const u64 pivot = out.x_hi ? std::bit_floor(out.x_hi) : 0;
  out.index = {pivot, 0, g.groups() >> (pivot != 0)};
  const int across = is_odd(out.x_hi & out.z_hi) ? -1 : 1;
  for (int l = 0; l < kLanes<Real>; ++l) {
    out.act_a[l] = out.act_b[l] = 1;
    out.unit_a[l] = static_cast<Real>(-lane_sign(l, op.signs & low_ones(lane_bits)));
    out.unit_b[l] = out.unit_a[l] * static_cast<Real>(across);
  }
  return out;
}

template <typename Real>
TileMove<Real> make_move(const Op& op, const Geometry& g, int lane_bits) {
  TileMove<Real> out{};
  out.outside = op.signs >> lane_bits & g.outside;
  for (int sign = 0; sign < 2; ++sign) {
    MoveOp<Real>& m = out.of[sign];
    m.x_hi = g.flips(op.flips >> lane_bits);
    m.signs = g.signs(op.signs >> lane_bits);
    m.x_lo = static_cast<int>(op.flips & low_ones(lane_bits));
    const u64 pivot = m.x_hi ? std::bit_floor(m.x_hi) : 0;
    m.index = {pivot, 0, g.groups() >> (pivot != 0)};
    for (int p = 0; p < 2; ++p)
      for (int l = 0; l < kLanes<Real>; ++l) {
        const bool parity = (p ^ sign) != (lane_sign(l, op.signs & low_ones(lane_bits)) < 0);
        m.take[p][l] = parity != op.even;
        if (m.take[p][l] != 0 && (p == 0 || m.signs)) out.moves[sign] = true;
      }
  }
  return out;
}

template <typename Real>
void fill_gate(TileGate<Real>& out, const Compiled<Real>& compiled, const Geometry& g) {
  const Step& from = compiled.steps[static_cast<std::size_t>(out.step)];
  const std::size_t at = static_cast<std::size_t>(from.operand);
  auto inner = [&](const IndexMap& map) {
    out.controls = map.fixed & g.outside;
    out.values = map.value & g.outside;
    const u64 fixed = g.flips(map.fixed & ~g.outside);
    return IndexMap{fixed, g.flips(map.value & ~g.outside), g.groups() >> std::popcount(fixed)};
  };
  switch (from.kind) {
    case Kind::Pair:
    case Kind::Permute:
    case Kind::Diagonal:
      out.gate = compiled.gates[at];
      out.signs = out.gate.z_hi & g.outside;
      out.gate.index = inner(out.gate.index);
      out.gate.x_hi = g.flips(out.gate.x_hi);
      out.gate.z_hi = g.flips(out.gate.z_hi & ~g.outside);
      break;
    case Kind::Mix:
      out.mix = compiled.mixes[at];
      out.inverse_mix = compiled.inverse_mixes[at];
      out.mix.index = out.inverse_mix.index = inner(out.mix.index);
      out.mix.x_hi = out.inverse_mix.x_hi = g.flips(out.mix.x_hi);
      break;
    case Kind::Dense:
      out.matrices = &compiled.denses[at];
      out.operand = from.operand;
      out.dense = out.matrices->op;
      for (const u64 offset : compiled.denses[at].offsets) out.offsets.push_back(g.flips(offset));
      out.dense.index = inner(out.dense.index);
      out.dense.offsets = out.offsets.data();
      break;
    case Kind::Table:
      out.table = compiled.tables[at].op;
      out.controls = out.table.index.fixed & ~g.rows();
      out.values = out.table.index.value & ~g.rows();
      out.signs = out.table.mask & ~g.rows();
      out.table.index = {out.table.index.fixed & g.rows(), out.table.index.value & g.rows(),
                         (u64{1} << g.row_bits) >> std::popcount(out.table.index.fixed & g.rows())};
      out.table.mask &= g.rows();
      break;
    case Kind::Prepare:
      break;
  }
}

// The highest coordinates that tie a gate's groups together, its controls included; of a table all.
template <typename Real>
u64 reach(const TileGate<Real>& gate) {
  switch (gate.kind) {
    case Kind::Pair:
    case Kind::Permute:
    case Kind::Diagonal:
      return gate.gate.x_hi | gate.gate.index.fixed;
    case Kind::Mix:
      return gate.mix.index.fixed;
    case Kind::Dense:
      return gate.dense.index.fixed;
    default:
      return ~u64{0};
  }
}

// The moves that follow one another from a stage on.
std::vector<Op> moves_from(const Pass& pass, std::size_t stage, const std::vector<Op>& ops) {
  std::vector<Op> out;
  for (; stage < pass.stages.size() && pass.stages[stage].kind == OpKind::Move; ++stage)
    out.push_back(ops[static_cast<std::size_t>(pass.stages[stage].ops[0])]);
  return out;
}

}  // namespace

template <typename Real>
TilePass<Real>::TilePass(const Compiled<Real>& compiled, const std::vector<Op>& ops,
                         const std::vector<bool>& trained_ops, const Pass& pass, int row_bits, int chunk)
    : chunk_bits(chunk) {
  const int lane_bits = compiled.layout.lane_bits;
  if (pass.whole) {
    whole = ops[static_cast<std::size_t>(pass.stages[0].ops[0])].gate;
    return;
  }
  // the operands of gates want bits themselves as coordinates
  const bool spread = lane_bits > 0 && std::none_of(pass.stages.begin(), pass.stages.end(),
                                                    [](const auto& stage) { return stage.kind == OpKind::Gate; });
  geometry = Geometry(pass.span, row_bits, std::countr_zero(compiled.layout.groups), chunk_bits, spread);
  for (std::size_t s = 0; s < pass.stages.size(); ++s) {
    const auto& stage = pass.stages[s];
    const Op& first = ops[static_cast<std::size_t>(stage.ops[0])];
    Stage out{stage.kind, false, false, false, 0};
    const u64 inside = low_ones(chunk_bits);
    sums.push_back(n_sums);
    trained.push_back(std::any_of(stage.ops.begin(), stage.ops.end(),
                                  [&](int op) { return trained_ops[static_cast<std::size_t>(op)]; }));
    switch (stage.kind) {
      case OpKind::Phase:
        out.index = static_cast<int>(layers.size());
        layers.push_back(make_layer(stage.ops, ops, trained_ops, geometry, lane_bits));
        n_sums += layers.back().trained.size();
        out.local = true;
        break;
      case OpKind::Turn:
        out.lanes = first.flips & low_ones(lane_bits);
        if (out.lanes) {
          out.index = static_cast<int>(turns.size());
          turns.push_back(
              {pair_of<Real>(first, geometry, lane_bits), stage.ops[0], first.signs >> lane_bits & geometry.outside});
          out.local = turns.back().gate.x_hi <= inside;
        } else {
          out.index = static_cast<int>(blocks.size());
          blocks.push_back(make_block(stage.ops, ops, geometry, lane_bits, chunk_bits));
          out.local = is_local(blocks.back().block, chunk_bits);
          for (int r = 0; r < kBlockTurns; ++r)
            flips.push_back(r < static_cast<int>(stage.ops.size())
                                ? pair_of<Real>(ops[static_cast<std::size_t>(stage.ops[static_cast<std::size_t>(r)])],
                                                geometry, lane_bits)
                                : GateOp<Real>{});
        }
        n_sums += 2 * stage.ops.size();
        break;
      case OpKind::Move:
        if (const std::vector<Op> several = moves_from(pass, s, ops); lane_bits > 0 && several.size() >= kShuffleFrom) {
          out.shuffle = true;
          out.index = static_cast<int>(shuffles.size());
          shuffles.emplace_back(Relabelling(lane_bits + std::countr_zero(compiled.layout.groups), several), geometry,
                                lane_bits);
          n_moves += static_cast<int>(several.size());
          s += several.size() - 1;
          break;
        }
        out.index = static_cast<int>(moves.size());
        moves.push_back(make_move<Real>(first, geometry, lane_bits));
        ++n_moves;
        out.local = moves.back().of[0].x_hi <= inside;
        break;
      case OpKind::Gate:
        out.index = static_cast<int>(gates.size());
        gates.emplace_back();
        gates.back().op = stage.ops[0];
        gates.back().step = first.gate;
        gates.back().kind = compiled.steps[static_cast<std::size_t>(first.gate)].kind;
        fill_gate(gates.back(), compiled, geometry);
        out.local = reach(gates.back()) <= inside;
        n_sums += 1;
        break;
    }
    stages.push_back(out);
    live.push_back(reached(stages.back()));
  }
}

template <typename Real>
TilePass<Real>::TilePass(const Compiled<Real>& compiled, MovePass pass, int row_bits, int chunk) : chunk_bits(chunk) {
  const int group_bits = std::countr_zero(compiled.layout.groups);
  geometry = Geometry(pass.span, row_bits, group_bits, chunk_bits, false);
  shuffles.emplace_back(std::move(pass.map), geometry, compiled.layout.lane_bits);
  stages.push_back({OpKind::Move, false, false, true, 0});
}

template <typename Real>
u64 TilePass<Real>::reached(const Stage& stage) const {
  const u64 before = live.empty() ? 1 : live.back();
  if (stage.kind == OpKind::Phase) return before;
  if (stage.kind != OpKind::Turn || stage.lanes) return geometry.groups();
  const TurnBlock& block = blocks[static_cast<std::size_t>(stage.index)].block;
  const u64 most = *std::max_element(block.offset, block.offset + (1 << block.turns));
  return std::max(before, std::bit_ceil(most + 1));
}

template <typename Real>
PassFacts TilePass<Real>::facts(u64 groups_of_state) const {
  PassFacts f{};
  const u64 groups = whole >= 0 ? groups_of_state : geometry.groups();
  f.whole = whole >= 0;
  f.tile_bytes = groups * 2 * kLanes<Real> * sizeof(Real);
  f.tiles = groups_of_state / groups;
  f.visited = f.whole ? 1 : u64{1} << (support.directions.size() - span_size);
  for (const TileBlock& block : blocks) f.turns += block.block.turns;
  f.blocks = static_cast<int>(blocks.size());
  f.lane_turns = static_cast<int>(turns.size());
  f.layers = static_cast<int>(layers.size());
  for (const TileLayer& layer : layers) {
    std::size_t phases =
        layer.fixed.size() + layer.scalars.size() + layer.lanes.size() + layer.table.size() + layer.varied.size();
    for (const auto& cross : layer.cross) phases += cross.second.size();
    f.phases += static_cast<int>(phases);
    f.crossings += static_cast<int>(layer.cross.size());
    f.varies = f.varies || layer.table_varies;
  }
  f.moves = n_moves;
  f.gates = static_cast<int>(gates.size()) + f.whole;
  return f;
}

template struct TilePass<float>;
template struct TilePass<double>;

}  // namespace ketgrad
