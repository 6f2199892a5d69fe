#include "lane_sweeps.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "stages.hpp"

namespace ketgrad {

namespace {

// How many items of a block lie below `live`, a power of two: the first ones.
u64 items_below(const IndexMap& items, u64 live) {
  return std::min(items.count, u64{1} << std::popcount(~items.fixed & (live - 1)));
}

const Angle& angle_of(const Words& words, int op) {
  return words.angles[static_cast<std::size_t>(words.ops[static_cast<std::size_t>(op)].angle)];
}

}  // namespace

template <typename Real>
LaneNumbers<Real>::LaneNumbers(const TilePlan<Real>& plan, const KernelTable<Real>& kernels,
                               const std::vector<HalfAngle>& halves, bool backwards, bool scaled,
                               const LaneNumbers* other)
    : pass([&] {
        double factor = 1;
        return PassNumbers<Real>(plan.passes[0], plan.words.ops, halves, backwards, true, scaled ? &factor : nullptr);
      }()),
      tables(plan.passes[0].layers.size()),
      layers(plan.passes[0].layers.size()) {
  for (std::size_t k = 0; k < layers.size(); ++k)
    prepare_layer(plan.passes[0].layers[k], pass.layers[k], kernels, 0, false, plan.passes[0].geometry.groups(),
                  tables[k], layers[k], other ? &other->layers[k] : nullptr);
}

template <typename Real>
LaneCall<Real>::LaneCall(const TilePlan<Real>& plan, const Source& source, const KernelTable<Real>& kernels,
                         const double* shared, bool forwards, bool backwards, bool to_start,
                         std::shared_ptr<const LaneCall> before_this)
    : before(std::move(before_this)) {
  if (plan.passes.empty()) return;
  const Words& words = plan.words;
  const auto& steps = plan.compiled.steps;
  if (before) {
    of_instruction = before->of_instruction;
    halves = before->halves;
  } else {
    of_instruction.resize(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i)
      if (steps[i].slot < source.n_shared)
        of_instruction[i] = steps[i].offset + steps[i].scale * (steps[i].slot < 0 ? 0.0 : shared[steps[i].slot]);
    halves = half_angles(kernels, words.evaluate(source, of_instruction));
  }
  const LaneNumbers<Real>* ahead = before ? &*before->forward : nullptr;
  if (forwards) ahead = &forward.emplace(plan, kernels, halves, false, true, ahead);
  if (!backwards) return;
  back.emplace(plan, kernels, halves, true, !to_start, ahead);

  const TilePass<Real>& pass = plan.passes[0];
  constexpr std::size_t none = ~std::size_t{0};
  std::vector<std::size_t> place_of(words.ops.size(), none), flip(words.ops.size(), none);
  std::vector<double> scale(words.ops.size());  // of the sums of an op: what ket and bra lack there
  for (std::size_t s = 0; s < pass.stages.size(); ++s) {
    const auto& stage = pass.stages[s];
    const std::size_t at = static_cast<std::size_t>(stage.index);
    auto place = [&](int op, std::size_t sum) {
      place_of[static_cast<std::size_t>(op)] = sum;
      scale[static_cast<std::size_t>(op)] = back->pass.factors[s] * back->pass.factors[s];
    };
    if (stage.kind == OpKind::Phase)
      for (const TileLayer::Member& m : pass.layers[at].trained)
        place(m.op, pass.sums[s] + static_cast<std::size_t>(m.sum));
    if (stage.kind == OpKind::Turn)
      for (std::size_t r = 0; r < pass.blocks[at].ops.size(); ++r) {
        place(pass.blocks[at].ops[r], pass.sums[s] + 2 * r);
        flip[static_cast<std::size_t>(pass.blocks[at].ops[r])] = pass.sums[s] + 2 * r + 1;
      }
    if (stage.kind == OpKind::Gate) place(pass.gates[at].op, pass.sums[s]);
  }
  auto add = [&](int instruction, std::size_t op, std::size_t sum, double weight) {
    const Step& step = steps[static_cast<std::size_t>(instruction)];
    if (step.slot >= 0 && sum != none && weight != 0)
      (step.slot < source.n_shared ? this->shared : own).push_back({step.slot, sum, step.scale * weight * scale[op]});
  };
  for (std::size_t o = 0; o < words.ops.size(); ++o) {
    if (!plan.trained[o]) continue;
    const Op& op = words.ops[o];
    if (op.kind == OpKind::Gate) {
      add(op.gate, o, place_of[o], steps[static_cast<std::size_t>(op.gate)].slope);
      continue;
    }
    const Angle& angle = angle_of(words, static_cast<int>(o));
    if (angle.group < 0) {
      add(angle.instruction, o, place_of[o], angle.factor);
    } else if (op.kind == OpKind::Turn) {
      const auto& members = words.groups[static_cast<std::size_t>(angle.group)].members;
      const auto shares = words.shares(source, of_instruction, angle.group);
      for (std::size_t m = 0; m < members.size(); ++m) {
        add(members[m], o, flip[o], shares[m][0]);
        add(members[m], o, place_of[o], shares[m][1]);
        add(members[m], o + 1, place_of[o + 1], shares[m][2]);
      }
    }
  }
}

template <typename Real>
LaneSweep<Real>::LaneSweep(const TilePlan<Real>& plan, const LaneCall<Real>& call, const KernelTable<Real>& kernels,
                           const GateRunner<Real>& gates, Watch& watch)
    : plan_(plan),
      call_(call),
      kernels_(kernels),
      watch_(watch),
      gates_(gates),
      own_(plan.lane_angles.size() * kLanes<Real>),
      c_(own_.size()),
      s_(own_.size()),
      scratch_(plan.compiled.dense_scratch) {
  if (plan.passes.empty()) return;
  const Pass& pass = plan.passes[0];
  blocks_.resize(pass.blocks.size());
  layers_.resize(pass.layers.size());
  by_lane_.resize(pass.layers.size());
}

template <typename Real>
void LaneSweep<Real>::bind(const double* per_sample) {
  constexpr std::size_t lanes = kLanes<Real>;
  numbers_ = nullptr;
  for (std::size_t a = 0; a < plan_.lane_angles.size(); ++a) {
    const LaneAngle& angle = plan_.lane_angles[a];
    const double* values = per_sample + static_cast<std::size_t>(angle.slot) * lanes;
    for (std::size_t l = 0; l < lanes; ++l) own_[a * lanes + l] = angle.offset + angle.scale * values[l];
  }
  kernels_.half_angles(own_.data(), own_.size(), c_.data(), s_.data());
}

template <typename Real>
void LaneSweep<Real>::bind_numbers(const LaneNumbers<Real>& numbers) {
  if (numbers_ == &numbers) return;
  numbers_ = &numbers;
  constexpr std::size_t lanes = kLanes<Real>;
  const Pass& pass = plan_.passes[0];
  // those of an op, times a factor
  auto own = [&](int op, double factor, Real* c, Real* s) {
    const auto& [angle, sign] = plan_.lane_angle_of[static_cast<std::size_t>(op)];
    const std::size_t at = static_cast<std::size_t>(angle) * lanes;
    for (std::size_t l = 0; l < lanes; ++l) {
      c[l] = static_cast<Real>(c_[at + l] * factor);
      s[l] = static_cast<Real>(s_[at + l] * (sign * factor));
    }
  };
  for (std::size_t b = 0; b < pass.blocks.size(); ++b) {
    const TileBlock& block = pass.blocks[b];
    if (!block.varies) continue;
    double factor = numbers.pass.taken[b];
    blocks_[b].scaled = false;
    for (std::size_t r = 0; r < block.ops.size(); ++r, factor = 1) {
      blocks_[b].lost[r] = 1 / (factor * factor);
      own(block.ops[r], factor, blocks_[b].c[r], blocks_[b].s[r]);
    }
  }
  for (std::size_t k = 0; k < pass.layers.size(); ++k) {
    const auto& varied = pass.layers[k].varied;
    if (varied.empty()) continue;
    factors_.clear();
    for (const TileLayer::Member& m : varied) {
      LanePhase<Real>& f = factors_.emplace_back();
      f.mask = m.tile;
      own(m.op, 1, f.c, f.s);
    }
    const u64 groups = pass.geometry.groups();
    if (!by_lane_[k]) by_lane_[k] = Buffer(groups * 2 * lanes * sizeof(Real));
    kernels_.lane_phase_table(by_lane_[k].template as<Real>(), groups, factors_.data(),
                              static_cast<int>(factors_.size()));
    layers_[k] = numbers.layers[k];
    layers_[k].by_lane = by_lane_[k].template as<Real>();
  }
}

template <typename Real>
const BlockAngles<Real>& LaneSweep<Real>::angles(const Pass& pass, std::size_t block) const {
  return pass.blocks[block].varies ? blocks_[block] : numbers_->pass.blocks[block];
}

template <typename Real>
const PhaseLayer<Real>& LaneSweep<Real>::layer(const Pass& pass, std::size_t layer) const {
  return pass.layers[layer].varied.empty() ? numbers_->layers[layer] : layers_[layer];
}

template <typename Real>
void LaneSweep<Real>::apply(const Pass& pass, std::size_t stage, Real* psi, Way way, Part part, u64 live) {
  const auto& from = pass.stages[stage];
  const std::size_t at = static_cast<std::size_t>(from.index);
  const u64 groups = pass.geometry.groups();
  switch (from.kind) {
    case OpKind::Phase:
      kernels_.phases(psi, layer(pass, at), groups, part.begin(groups), std::min(part.end(groups), live));
      break;
    case OpKind::Turn: {
      const TileBlock& block = pass.blocks[at];
      const u64 items = block.block.index.count;
      kernels_.turns(psi, block.block, angles(pass, at), beyond(block, part.begin(groups)), part.begin(items),
                     std::min(part.end(items), items_below(block.block.index, live)));
      break;
    }
    case OpKind::Move: {  // its own inverse
      const MoveOp<Real>& op = pass.moves[at].of[0];
      if (pass.moves[at].moves[0]) kernels_.move(psi, op, part.begin(op.index.count), part.end(op.index.count));
      break;
    }
    case OpKind::Gate:
      gates_.apply(pass.geometry, pass.gates[at], psi, 0, way, scratch_.as<Real>(), part);
      break;
  }
}

template <typename Real>
void LaneSweep<Real>::forward(Real* psi, bool sparse) {
  if (plan_.passes.empty()) return;
  bind_numbers(*call_.forward);
  const Pass& pass = plan_.passes[0];
  const u64 groups = pass.geometry.groups();
  runs(
      pass.stages, pass.chunks(), 0, pass.stages.size(), [](std::size_t) { return false; },
      [&](std::size_t first, std::size_t last, u64 chunks) {
        for (u64 chunk = 0; chunk < chunks; ++chunk)
          for (std::size_t s = first; s < last; ++s)
            apply(pass, s, psi, Way::Forward, {chunk, chunks}, sparse ? pass.live[s] : groups);
        watch_.tick((last - first) * groups * 8);
      });
}

template <typename Real>
void LaneSweep<Real>::move(const std::vector<Pass>& passes, Real* state, bool inverse) {
  for (const Pass& pass : passes)
    for (std::size_t k = 0; k < pass.stages.size(); ++k)
      apply(pass, inverse ? pass.stages.size() - 1 - k : k, state, inverse ? Way::Adjoint : Way::Forward, {},
            pass.geometry.groups());
}

template <typename Real>
void LaneSweep<Real>::reverse_stage(std::size_t stage, Real* psi, Real* lambda, Part part, u64 live) {
  constexpr int lanes = kLanes<Real>;
  const Pass& pass = plan_.passes[0];
  const auto& from = pass.stages[stage];
  const std::size_t at = static_cast<std::size_t>(from.index);
  const u64 groups = pass.geometry.groups(), begin = part.begin(groups), end = std::min(part.end(groups), live);
  if (begin >= end) return;
  double* out = sums_.as<double>() + pass.sums[stage] * lanes;
  switch (from.kind) {
    case OpKind::Phase:
      kernels_.phases_reverse(psi, lambda, layer(pass, at), groups, begin, end,
                              pass.layers[at].masks.empty() ? nullptr : product_.as<Real>());
      break;
    case OpKind::Turn: {
      const TileBlock& block = pass.blocks[at];
      if (block.flips == Flips::Apart)
        for (std::size_t r = 0; r < block.ops.size(); ++r)
          if (plan_.words.ops[static_cast<std::size_t>(block.ops[r])].full)
            kernels_.flip_inner(psi, lambda, pass.flips[at * kBlockTurns + r], begin, end, out + (2 * r + 1) * lanes);
      double own[kBlockTurns * lanes] = {}, flips[kBlockTurns * lanes] = {};
      const bool together = block.flips == Flips::Together;
      const unsigned negate = beyond(block, begin);
      const u64 items = block.block.index.count;
      kernels_.turns_reverse(psi, lambda, block.block, angles(pass, at), negate, part.begin(items),
                             std::min(part.end(items), items_below(block.block.index, live)), own,
                             together ? flips : nullptr);
      for (std::size_t r = 0; r < block.ops.size(); ++r) {
        double* const to = out + 2 * r * lanes;
        const double sign = negate >> r & 1 ? -1.0 : 1.0;
        for (int l = 0; l < lanes; ++l) to[l] += sign * own[r * lanes + static_cast<std::size_t>(l)];
        if (together)
          for (int l = 0; l < lanes; ++l) to[lanes + l] += flips[r * lanes + static_cast<std::size_t>(l)];
      }
      break;
    }
    case OpKind::Gate:
      if (plan_.compiled.steps[static_cast<std::size_t>(pass.gates[at].step)].slot >= 0) {
        gates_.reverse(pass.geometry, pass.gates[at], psi, lambda, 0, out, part);
        break;
      }
      [[fallthrough]];
    case OpKind::Move:
      apply(pass, stage, psi, Way::Undo, part, live);
      apply(pass, stage, lambda, Way::Adjoint, part, live);
      break;
  }
}

template <typename Real>
void LaneSweep<Real>::give(const Gradients& out, u64 count) {
  constexpr std::size_t lanes = kLanes<Real>;
  double* const sums = sums_.as<double>();
  const std::size_t all = plan_.passes[0].n_sums * lanes;
  auto by_lane = [&](const std::vector<Credit>& credits) {
    for (const Credit& credit : credits)
      for (std::size_t l = 0; l < lanes; ++l)
        out.by_lane[static_cast<std::size_t>(credit.slot) * lanes + l] += credit.weight * sums[credit.sum * lanes + l];
  };
  by_lane(call_.own);
  if (!out.total) return by_lane(call_.shared);
  for (std::size_t at = 0; at < all; at += lanes) {  // the sum over the samples goes to the first lane
    double* s = sums + at;
    std::fill(s + count, s + lanes, 0.0);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) s[l] += s[half + l];
  }
  for (const Credit& credit : call_.shared) out.total[credit.slot] += credit.weight * sums[credit.sum * lanes];
}

template <typename Real>
void LaneSweep<Real>::reverse(Real* psi, Real* lambda, const Gradients& out, u64 count, bool to_start, bool sparse) {
  if (plan_.passes.empty()) return;
  constexpr int lanes = kLanes<Real>;
  bind_numbers(*call_.back);
  const Pass& pass = plan_.passes[0];
  const u64 groups = pass.geometry.groups();
  const std::size_t n = pass.stages.size();
  std::size_t from = 0;  // nothing before the first parameter has a gradient
  while (!to_start && from < n && !pass.trained[from]) ++from;
  sums_.hold(pass.n_sums * lanes * sizeof(double));
  std::fill_n(sums_.as<double>(), pass.n_sums * lanes, 0.0);
  if (!product_) product_ = Buffer(groups * lanes * sizeof(Real));
  const std::vector<typename Pass::Stage> backwards(pass.stages.rbegin(), pass.stages.rend());
  auto layer_of = [&](std::size_t k) -> const TileLayer* {
    const TileLayer* found =
        backwards[k].kind == OpKind::Phase ? &pass.layers[static_cast<std::size_t>(backwards[k].index)] : nullptr;
    return found && !found->masks.empty() ? found : nullptr;
  };
  auto live = [&](std::size_t s) { return sparse && !to_start ? pass.live[s] : groups; };
  runs(
      backwards, pass.chunks(), 0, n - from, [&](std::size_t k) { return layer_of(k) != nullptr; },
      [&](std::size_t first, std::size_t last, u64 chunks) {
        for (u64 chunk = 0; chunk < chunks; ++chunk)
          for (std::size_t k = first; k < last; ++k)
            reverse_stage(n - 1 - k, psi, lambda, {chunk, chunks}, live(n - 1 - k));
        for (std::size_t k = first; k < last; ++k)  // one at most
          if (const TileLayer* found = layer_of(k)) {
            Real* v = product_.as<Real>();
            std::fill(v + live(n - 1 - k) * lanes, v + groups * lanes, Real(0));
            layer_sums(*found, kernels_, groups, 0, v, sums_.as<double>() + pass.sums[n - 1 - k] * lanes);
          }
        watch_.tick((last - first) * groups * 24);
      });
  give(out, count);
}

template struct LaneNumbers<float>;
template struct LaneNumbers<double>;
template struct LaneCall<float>;
template struct LaneCall<double>;
template class LaneSweep<float>;
template class LaneSweep<double>;

}  // namespace ketgrad
