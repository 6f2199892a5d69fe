#include "planner.hpp"

#include <algorithm>
#include <bit>
#include <mutex>

namespace ketgrad {

namespace {

constexpr std::size_t kMaxLeft = 192;  // ops a later one may overtake: beyond, planning would take longer than it saves

std::mutex tiling_mutex;
Tiling current_tiling;

// Which of the pending ops run in one pass.
struct Choice {
  Span span;
  std::vector<int> ops;
};

// Ops that stay behind, and whether a later one can overtake them all.
class Waiting {
 public:
  void add(const Op& op) {
    flips_ |= moved(op);
    signs_ |= seen(op);
    fence_ = fence_ || op.fence;
    ops_.push_back(&op);
  }

  bool blocks(const Op& op) const {
    if (fence_ || (op.fence && !ops_.empty())) return true;
    if (!(moved(op) & signs_) && !(seen(op) & flips_)) return false;  // most ops: nothing in common
    return std::any_of(ops_.begin(), ops_.end(), [&](const Op* other) { return !commute(*other, op); });
  }

  std::size_t size() const { return ops_.size(); }

 private:
  static u64 moved(const Op& op) { return op.kind == OpKind::Gate ? op.footprint.moved() : op.flips; }
  static u64 seen(const Op& op) { return op.kind == OpKind::Gate ? op.footprint.looks | op.footprint.mixes : op.signs; }

  u64 flips_ = 0, signs_ = 0;
  bool fence_ = false;
  std::vector<const Op*> ops_;
};

class Planner {
 public:
  Planner(const std::vector<Op>& ops, int lane_bits, int group_bits, const Tiling& tiling)
      : ops_(ops),
        lane_bits_(lane_bits),
        group_bits_(group_bits),
        row_bits_(std::min(tiling.row_bits, group_bits)),
        width_(static_cast<std::size_t>(std::clamp(tiling.tile_bits, row_bits_, group_bits) - row_bits_)) {
    for (std::size_t i = 0; i < ops.size(); ++i) pending_.push_back(static_cast<int>(i));
  }

  std::vector<Pass> run() {
    std::vector<Pass> out;
    while (!pending_.empty()) {
      const Op& next = at(pending_[0]);
      Pass pass;
      if (next.kind == OpKind::Gate && static_cast<std::size_t>(std::popcount(high(next.footprint.moved()))) > width_) {
        pass.whole = true;
        pass.stages.push_back({OpKind::Gate, {pending_[0]}});
        pending_.erase(pending_.begin());
        out.push_back(std::move(pass));
        continue;
      }
      Choice best = choose();
      fill_up(best.span);
      pass.span = std::move(best.span);
      std::vector<int> done = best.ops;
      schedule(pass.span, std::move(best.ops), pass.stages);
      if (done.size() < pending_.size() && pass.stages.back().kind == OpKind::Phase && pass.stages.size() > 1) {
        for (const int op : pass.stages.back().ops) done.erase(std::find(done.begin(), done.end(), op));
        pass.stages.pop_back();  // a later pass has phases of its own
      }
      std::vector<int> rest;
      std::set_difference(pending_.begin(), pending_.end(), done.begin(), done.end(), std::back_inserter(rest));
      pending_ = std::move(rest);
      out.push_back(std::move(pass));
    }
    return out;
  }

 private:
  const Op& at(int op) const { return ops_[static_cast<std::size_t>(op)]; }

  // The part of a mask that rows do not have.
  u64 high(u64 mask) const { return mask >> lane_bits_ & ~low_ones(row_bits_) & low_ones(group_bits_); }

  // Whether the directions can grow to span what an op moves. A gate wants bits themselves as directions, and every bit
  // it looks at to be one coordinate or none.
  bool fit(const Op& op, std::size_t width, Span& span, u64& plain) const {
    if (op.kind != OpKind::Gate) {  // most ops, without a copy
      if (!span.reduce(high(op.flips))) return true;
      if (span.directions.size() == width) return false;
    }
    const bool gate = op.kind == OpKind::Gate;
    Span grown = span;
    if (gate)
      for (u64 bits = high(op.footprint.moved()); bits; bits &= bits - 1) grown.extend(bits & -bits);
    else
      grown.extend(high(op.flips));
    if (grown.directions.size() > width) return false;
    const u64 own = gate ? high(op.footprint.bits()) : 0;
    if (own || plain)
      for (const u64 d : grown.directions)
        if (d & (plain | own) && std::popcount(d) > 1) return false;
    plain |= own;
    span = std::move(grown);
    return true;
  }

  // Ops in order, as far as the directions reach, which may grow from `start` to `width` of them.
  Choice take(Span start, std::size_t width) const {
    Choice out{std::move(start), {}};
    Waiting left;
    u64 plain = 0;
    for (const int op : pending_) {
      const Op& o = at(op);
      if (!left.blocks(o) && fit(o, width, out.span, plain)) {
        out.ops.push_back(op);
        continue;
      }
      left.add(o);
      if (left.size() == kMaxLeft) break;
    }
    return out;
  }

  // The most turns win: they are what a pass is for.
  std::size_t worth(const Choice& c) const {
    return static_cast<std::size_t>(
        std::count_if(c.ops.begin(), c.ops.end(), [&](int op) { return at(op).kind != OpKind::Phase; }));
  }

  // The best of: directions in the order in which ops need them, and those of the turns from some later one on.
  Choice choose() const {
    if (row_bits_ + static_cast<int>(width_) == group_bits_) {  // a tile is the whole state
      Span all;
      fill_up(all);
      return take(std::move(all), width_);
    }
    Choice best = take({}, width_);
    if (best.ops.size() == pending_.size()) return best;
    if (row_bits_ + static_cast<int>(width_) < group_bits_) {  // a larger tile is better than one more pass
      Choice all = take({}, width_ + 1);
      if (all.ops.size() == pending_.size()) return all;
    }
    std::vector<u64> wanted;
    for (const int op : pending_) {
      if (at(op).kind != OpKind::Gate && high(at(op).flips)) wanted.push_back(high(at(op).flips));
      if (wanted.size() == 2 * static_cast<std::size_t>(group_bits_)) break;
    }
    const std::size_t stride = std::max<std::size_t>(1, width_ / 4);
    for (std::size_t from = stride; from < wanted.size(); from += stride) {
      Span seed;
      for (std::size_t k = from; k < wanted.size() && seed.directions.size() < width_; ++k) seed.extend(wanted[k]);
      Choice found = take(std::move(seed), width_);
      if (worth(found) > worth(best)) best = std::move(found);
    }
    return best;
  }

  // A tile of fewer directions costs as much memory traffic: take the lowest bits, for longer rows.
  void fill_up(Span& span) const {
    for (int b = row_bits_; b < group_bits_ && span.directions.size() < width_; ++b) span.extend(u64{1} << b);
  }

  // Phases wait until nothing else can run, so that one layer has as many as possible.
  void schedule(const Span& span, std::vector<int> ops, std::vector<Stage>& stages) const {
    while (!ops.empty()) {
      if (collect_turns(span, ops, stages)) continue;
      bool any = false;
      for (const OpKind kind : {OpKind::Move, OpKind::Gate}) {
        std::vector<int> ready = free(ops, kind);
        sort_by_reach(span, ready);
        for (const int op : ready) stages.push_back({kind, {op}});
        any = any || !ready.empty();
      }
      if (!any) stages.push_back({OpKind::Phase, free(ops, OpKind::Phase)});
    }
  }

  // Takes the ops of a kind that no other is in the way of.
  std::vector<int> free(std::vector<int>& ops, OpKind kind) const {
    std::vector<int> rest, out;
    Waiting before;
    for (const int op : ops) {
      const bool ready = at(op).kind == kind && !before.blocks(at(op));
      (ready ? out : rest).push_back(op);
      if (!ready) before.add(at(op));
    }
    ops = std::move(rest);
    return out;
  }

  bool collect_turns(const Span& span, std::vector<int>& ops, std::vector<Stage>& stages) const {
    std::vector<int> ready = free(ops, OpKind::Turn);
    if (ready.empty()) return false;
    sort_by_reach(span, ready);
    Stage stage{OpKind::Turn, {}};
    Span block;
    auto close = [&] {
      if (!stage.ops.empty()) stages.push_back(std::exchange(stage, {OpKind::Turn, {}}));
      block = {};
    };
    for (const int op : ready) {
      const Op& o = at(op);
      if (std::any_of(stage.ops.begin(), stage.ops.end(),
                      [&](int s) { return at(s).varies != o.varies || !commute(at(s), o); }))
        close();
      if (o.flips & low_ones(lane_bits_)) {
        stages.push_back({OpKind::Turn, {op}});
        continue;
      }
      if (stage.ops.size() == static_cast<std::size_t>(kBlockTurns) || !block.reduce(o.flips >> lane_bits_)) close();
      block.add(block.reduce(o.flips >> lane_bits_));
      stage.ops.push_back(op);
    }
    close();
    return true;
  }

  // Where all commute: those of lanes and low coordinates together, so that they can share the first-level cache.
  void sort_by_reach(const Span& span, std::vector<int>& ops) const {
    for (std::size_t k = 0; k < ops.size(); ++k) {
      if (at(ops[k]).fence) return;
      for (std::size_t j = 0; j < k; ++j)
        if (!commute(at(ops[j]), at(ops[k]))) return;
    }
    std::stable_sort(ops.begin(), ops.end(), [&](int a, int b) { return reach(span, a) < reach(span, b); });
  }

  // The highest coordinate of a tile that an op flips, as its pivot.
  u64 reach(const Span& span, int op) const {
    const u64 flips = at(op).flips | at(op).footprint.moved(), v = high(flips);
    u64 out = flips >> lane_bits_ & low_ones(row_bits_);
    for (const u64 p : span.pivots)
      if (v & p) out = std::max(out, p);
    return out;
  }

  const std::vector<Op>& ops_;
  const int lane_bits_, group_bits_, row_bits_;
  const std::size_t width_;  // directions of a tile
  std::vector<int> pending_;
};

}  // namespace

void Span::add(u64 reduced) {
  const u64 pivot = std::bit_floor(reduced);
  for (u64& d : directions)
    if (d & pivot) d ^= reduced;
  directions.push_back(reduced);
  pivots.push_back(pivot);
}

Tiling tiling() {
  const std::lock_guard lock(tiling_mutex);
  return current_tiling;
}

void set_tiling(const Tiling& tiling) {
  const std::lock_guard lock(tiling_mutex);
  current_tiling = tiling;
}

std::vector<Pass> plan_passes(const std::vector<Op>& ops, int lane_bits, int group_bits, const Tiling& tiling) {
  return Planner(ops, lane_bits, group_bits, tiling).run();
}

}  // namespace ketgrad
