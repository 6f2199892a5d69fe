#include "sweeps.hpp"

#include <bit>
#include <cstring>

#include "buffer.hpp"
#include "stages.hpp"

namespace ketgrad {

template <typename Real>
struct Sweeps<Real>::Worker {
  struct Prepared {
    PhaseLayer<Real> layer;
    unsigned negate;  // turns of a block
    bool sign;        // of another op, from outside
  };
  Buffer scratch;  // of matrices
  Buffer product;  // of the layer whose gradients are under way
  Buffer shuffled;
  std::vector<LayerTables> tables;
  std::vector<Prepared> prepared;

  Worker(const TilePass<Real>& pass, std::size_t bytes)
      : scratch(bytes),
        tables(pass.layers.size()),
        prepared(pass.stages.size()) {}
};

template <typename Real>
void Sweeps<Real>::prepare(const TilePass<Real>& pass, const Numbers& numbers, std::size_t stage, u64 base,
                           bool inverse, Worker& worker) const {
  const std::size_t at = static_cast<std::size_t>(pass.stages[stage].index);
  auto& out = worker.prepared[stage];
  switch (pass.stages[stage].kind) {
    case OpKind::Phase:
      prepare_layer(pass.layers[at], numbers.layers[at], kernels_, base, inverse, pass.geometry.groups(),
                    worker.tables[at], out.layer);
      break;
    case OpKind::Turn:
      if (pass.stages[stage].lanes) {
        out.sign = is_odd(base & pass.turns[at].outside);
        break;
      }
      out.negate = inverse ? ~0u : 0u;
      for (std::size_t r = 0; r < pass.blocks[at].ops.size(); ++r)
        out.negate ^= static_cast<unsigned>(is_odd(base & pass.blocks[at].outside[r])) << r;
      break;
    case OpKind::Move:
      if (!pass.stages[stage].shuffle) out.sign = is_odd(base & pass.moves[at].outside);
      break;
    case OpKind::Gate:
      break;
  }
}

template <typename Real>
void Sweeps<Real>::take_in(const TilePass<Real>& pass, Real* state, Real* packed, u64 base, bool sparse) const {
  constexpr u64 group = 2 * kLanes<Real>;
  const Geometry& g = pass.geometry;
  const int row_bits = sparse ? plan_.row_bits : g.row_bits;
  const std::size_t row = (sizeof(Real) * group) << row_bits;
  for (std::size_t r = 0; r < g.offsets.size(); ++r)
    for (u64 part = 0; part < u64{1} << (g.row_bits - row_bits); ++part) {
      const u64 from = base ^ g.offsets[r] ^ (part << row_bits), to = (r << g.row_bits) | (part << row_bits);
      Real* at = packed ? packed + to * group : state + from * group;
      if (sparse && pass.before.reduce(from))
        std::memset(at, 0, row);
      else if (packed)
        std::memcpy(at, state + from * group, row);
    }
}

template <typename Real>
void Sweeps<Real>::put_back(const TilePass<Real>& pass, Real* state, const Real* packed, u64 base) const {
  constexpr u64 group = 2 * kLanes<Real>;
  const Geometry& g = pass.geometry;
  const std::size_t row = (sizeof(Real) * group) << g.row_bits;
  for (std::size_t r = 0; r < g.offsets.size(); ++r)
    std::memcpy(state + (base ^ g.offsets[r]) * group, packed + (r << g.row_bits) * group, row);
}

template <typename Real>
template <typename Work>
void Sweeps<Real>::over_tiles(const TilePass<Real>& pass, std::initializer_list<Real*> states, Work work,
                              bool sparse) const {
  constexpr u64 group = 2 * kLanes<Real>;
  const Geometry& g = pass.geometry;
  const u64 all = plan_.compiled.layout.groups, groups = g.groups(), tiles = all / groups;
  executor_.cut(tiles, Executor::tile_tasks(tiles), [&](u64 begin, u64 end, u64 task) {
    Worker worker(pass, plan_.compiled.dense_scratch);
    Buffer packed[2];
    for (u64 t = begin; t < end; ++t) {
      const u64 base = deposit_bits(t, g.outside);
      if (sparse && pass.support.reduce(base)) continue;
      Real* at[2] = {};
      int k = 0;
      for (Real* state : states) {
        if (g.contiguous()) {
          at[k] = state + base * group;
          if (sparse) take_in(pass, state, nullptr, base, sparse);
        } else {
          // a load from the bra must not look as if it waited for a store to the ket, 4 KiB apart
          const std::size_t apart = kLanes<Real> * static_cast<std::size_t>(k);
          if (!packed[k]) packed[k] = Buffer((groups * group + apart) * sizeof(Real));
          at[k] = packed[k].template as<Real>() + apart;
          take_in(pass, state, at[k], base, sparse);
        }
        ++k;
      }
      work(at, base, task, worker);
      k = 0;
      for (Real* state : states) {
        if (!g.contiguous()) put_back(pass, state, at[k], base);
        ++k;
      }
      executor_.watch.tick(groups * (pass.stages.size() + 4) * 4 * states.size());
    }
  });
}

template <typename Real>
void Sweeps<Real>::shuffle(const TilePass<Real>& pass, const Shuffle& shuffle, Real* psi, u64 base, bool inverse,
                           Worker& worker) const {
  const u64 groups = pass.geometry.groups();
  const std::size_t bytes = groups * 2 * kLanes<Real> * sizeof(Real);
  if (!worker.shuffled) worker.shuffled = Buffer(bytes);
  const Shuffle::Sources& sources = shuffle.sources(inverse);
  kernels_.shuffle(psi, worker.shuffled.template as<Real>(), sources.groups.data(), sources.lanes.data(),
                   shuffle.offset(pass.geometry, base, inverse), groups);
  std::memcpy(psi, worker.shuffled.template as<Real>(), bytes);
}

template <typename Real>
void Sweeps<Real>::rearrange(const TilePass<Real>& pass, Real* state, bool inverse) const {
  constexpr u64 group = 2 * kLanes<Real>;
  const Geometry& g = pass.geometry;
  const u64 groups = g.groups(), tiles = plan_.compiled.layout.groups / groups, row = u64{1} << g.row_bits;
  const Shuffle::Sources& sources = pass.shuffles[0].sources(inverse);
  executor_.cut(tiles, Executor::tile_tasks(tiles), [&](u64 begin, u64 end, u64) {
    const Buffer packed(groups * group * sizeof(Real));
    for (u64 t = begin; t < end; ++t) {
      const u64 base = deposit_bits(t, g.outside);
      const std::uint32_t offset = pass.shuffles[0].offset(g, base, inverse);
      take_in(pass, state, packed.template as<Real>(), base, false);
      for (std::size_t r = 0; r < g.offsets.size(); ++r)
        kernels_.shuffle(packed.template as<Real>(), state + (base ^ g.offsets[r]) * group,
                         sources.groups.data() + r * row, sources.lanes.data(), offset, row);
      executor_.watch.tick(groups * 16);
    }
  });
}

template <typename Real>
void Sweeps<Real>::apply(const TilePass<Real>& pass, const Numbers& numbers, std::size_t stage, Real* psi, u64 base,
                         Way way, Worker& worker, Part part) const {
  const bool inverse = way != Way::Forward;
  const auto& from = pass.stages[stage];
  const std::size_t at = static_cast<std::size_t>(from.index);
  const u64 groups = pass.geometry.groups();
  const auto& prepared = worker.prepared[stage];
  switch (from.kind) {
    case OpKind::Phase: {
      kernels_.phases(psi, prepared.layer, groups, part.begin(groups), part.end(groups));
      break;
    }
    case OpKind::Turn:
      if (from.lanes) {
        const GateOp<Real>& op = pass.turns[at].gate;
        kernels_.pair(psi, op, numbers.turns[at][prepared.sign != inverse], part.begin(op.index.count),
                      part.end(op.index.count));
      } else {  // the turns of a block commute: undone in any order
        const TurnBlock& block = pass.blocks[at].block;
        kernels_.turns(psi, block, numbers.blocks[at], prepared.negate ^ beyond(pass.blocks[at], part.begin(groups)),
                       part.begin(block.index.count), part.end(block.index.count));
      }
      break;
    case OpKind::Move: {  // its own inverse
      if (from.shuffle) {
        shuffle(pass, pass.shuffles[at], psi, base, inverse, worker);
        break;
      }
      const MoveOp<Real>& op = pass.moves[at].of[prepared.sign];
      if (pass.moves[at].moves[prepared.sign])
        kernels_.move(psi, op, part.begin(op.index.count), part.end(op.index.count));
      break;
    }
    case OpKind::Gate:
      gates_.apply(pass.geometry, pass.gates[at], psi, base, way, worker.scratch.template as<Real>(), part);
      break;
  }
}

template <typename Real>
void Sweeps<Real>::forward(const TilePass<Real>& pass, Real* psi, bool sparse, double& factor) const {
  if (pass.only_moves() && (!sparse || pass.begins_whole)) return rearrange(pass, psi, false);
  const Numbers numbers(pass, plan_.words.ops, halves_, false, pass.settles_forward, &factor);
  auto work = [&](Real* const* at, u64 base, u64, Worker& worker) {
    for (std::size_t s = 0; s < pass.stages.size(); ++s) prepare(pass, numbers, s, base, false, worker);
    runs(
        pass.stages, pass.chunks(), 0, pass.stages.size(), [](std::size_t) { return false; },
        [&](std::size_t first, std::size_t last, u64 chunks) {
          for (u64 chunk = 0; chunk < chunks; ++chunk)
            for (std::size_t s = first; s < last; ++s)
              apply(pass, numbers, s, at[0], base, Way::Forward, worker, {chunk, chunks});
        });
  };
  over_tiles(pass, {psi}, work, sparse && !pass.begins_whole);
}

template <typename Real>
void Sweeps<Real>::undo(const TilePass<Real>& pass, std::size_t count, Real* state) const {
  if (pass.only_moves() && count) return rearrange(pass, state, true);
  const Numbers numbers(pass, plan_.words.ops, halves_, true, true, nullptr);
  over_tiles(pass, {state}, [&](Real* const* at, u64 base, u64, Worker& worker) {
    for (std::size_t s = count; s-- > 0;) {
      prepare(pass, numbers, s, base, true, worker);
      const u64 chunks = pass.stages[s].local ? pass.chunks() : 1;
      for (u64 chunk = 0; chunk < chunks; ++chunk)
        apply(pass, numbers, s, at[0], base, Way::Adjoint, worker, {chunk, chunks});
    }
  });
}

template <typename Real>
void Sweeps<Real>::reverse_stage(const TilePass<Real>& pass, const Numbers& numbers, std::size_t stage, Real* psi,
                                 Real* lambda, u64 base, Worker& worker, Part part, double* sums) const {
  constexpr int lanes = kLanes<Real>;
  const auto& from = pass.stages[stage];
  const std::size_t at = static_cast<std::size_t>(from.index);
  const u64 groups = pass.geometry.groups();
  const auto& prepared = worker.prepared[stage];
  double* out = sums + pass.sums[stage] * lanes;
  auto add = [&](double* to, const double* own, bool negate) {
    for (int l = 0; l < lanes; ++l) to[l] += negate ? -own[l] : own[l];
  };
  auto flip = [&](int op, const GateOp<Real>& gate, double* to) {
    if (!plan_.words.ops[static_cast<std::size_t>(op)].full) return;
    kernels_.flip_inner(psi, lambda, gate, part.begin(groups), part.end(groups), to);
  };
  switch (from.kind) {
    case OpKind::Phase: {
      kernels_.phases_reverse(psi, lambda, prepared.layer, groups, part.begin(groups), part.end(groups),
                              pass.layers[at].masks.empty() ? nullptr : worker.product.template as<Real>());
      break;
    }
    case OpKind::Turn:
      if (from.lanes) {
        const TileTurn<Real>& turn = pass.turns[at];
        flip(turn.op, turn.gate, out + lanes);
        double own[lanes] = {};
        kernels_.pair_reverse(psi, lambda, turn.gate, numbers.turns[at][!prepared.sign],
                              part.begin(turn.gate.index.count), part.end(turn.gate.index.count), own);
        add(out, own, prepared.sign);
      } else {
        const TileBlock& block = pass.blocks[at];
        double own[kBlockTurns * lanes] = {}, flips[kBlockTurns * lanes] = {};
        if (block.flips == Flips::Apart)
          for (std::size_t r = 0; r < block.ops.size(); ++r)
            flip(block.ops[r], pass.flips[at * kBlockTurns + r], out + (2 * r + 1) * lanes);
        const unsigned negate = prepared.negate ^ beyond(block, part.begin(groups));
        kernels_.turns_reverse(psi, lambda, block.block, numbers.blocks[at], negate,
                               part.begin(block.block.index.count), part.end(block.block.index.count), own,
                               block.flips == Flips::Together ? flips : nullptr);
        for (std::size_t r = 0; r < block.ops.size(); ++r) {
          add(out + 2 * r * lanes, own + r * lanes, negate >> r & 1);
          add(out + (2 * r + 1) * lanes, flips + r * lanes, false);
        }
      }
      break;
    case OpKind::Gate:
      if (plan_.compiled.steps[static_cast<std::size_t>(pass.gates[at].step)].slot >= 0) {
        gates_.reverse(pass.geometry, pass.gates[at], psi, lambda, base, out, part);
        break;
      }
      [[fallthrough]];
    case OpKind::Move:
      apply(pass, numbers, stage, psi, base, Way::Undo, worker, part);
      apply(pass, numbers, stage, lambda, base, Way::Adjoint, worker, part);
      break;
  }
}

template <typename Real>
void Sweeps<Real>::reverse(const TilePass<Real>& pass, std::size_t from, Real* psi, Real* lambda,
                           std::vector<Measured>& measured, double* factor) const {
  constexpr int lanes = kLanes<Real>;
  const Numbers numbers(pass, plan_.words.ops, halves_, true, pass.settles_back, factor);
  const u64 tasks = Executor::tile_tasks(plan_.compiled.layout.groups / pass.geometry.groups());
  const std::size_t per_task = pass.n_sums * lanes;
  std::vector<double> sums(tasks * per_task);
  // backwards: stage n - 1 - k is the k-th
  const std::size_t n = pass.stages.size();
  std::vector<typename TilePass<Real>::Stage> backwards(pass.stages.rbegin(), pass.stages.rend());
  auto layer_of = [&](std::size_t k) -> const TileLayer* {
    const TileLayer* layer =
        backwards[k].kind == OpKind::Phase ? &pass.layers[static_cast<std::size_t>(backwards[k].index)] : nullptr;
    return layer && !layer->masks.empty() ? layer : nullptr;
  };
  over_tiles(pass, {psi, lambda}, [&](Real* const* at, u64 base, u64 task, Worker& worker) {
    double* own = sums.data() + task * per_task;
    if (!worker.product) worker.product = Buffer(pass.geometry.groups() * lanes * sizeof(Real));
    for (std::size_t s = from; s < n; ++s) prepare(pass, numbers, s, base, false, worker);
    runs(
        backwards, pass.chunks(), 0, n - from, [&](std::size_t k) { return layer_of(k) != nullptr; },
        [&](std::size_t first, std::size_t last, u64 chunks) {
          for (u64 chunk = 0; chunk < chunks; ++chunk)
            for (std::size_t k = first; k < last; ++k)
              reverse_stage(pass, numbers, n - 1 - k, at[0], at[1], base, worker, {chunk, chunks}, own);
          for (std::size_t k = first; k < last; ++k)  // one at most
            if (const TileLayer* layer = layer_of(k))
              layer_sums(*layer, kernels_, pass.geometry.groups(), base, worker.product.template as<Real>(),
                         own + pass.sums[n - 1 - k] * lanes);
        });
  });
  auto total = [&](std::size_t slot, u64 signs) {
    double sum = 0;
    for (int l = 0; l < lanes; ++l) {
      double lane = 0;
      for (u64 t = 0; t < tasks; ++t) lane += sums[t * per_task + slot * lanes + static_cast<std::size_t>(l)];
      sum += lane_sign(l, signs) * lane;
    }
    return sum;
  };
  for (std::size_t s = from; s < pass.stages.size(); ++s) {
    const std::size_t at = static_cast<std::size_t>(pass.stages[s].index), slot = pass.sums[s];
    const double both = numbers.factors[s] * numbers.factors[s];  // of ket and bra
    auto put = [&](int op, std::size_t first, u64 signs) {
      auto& to = measured[static_cast<std::size_t>(op)];
      to = {both * total(first, signs), both * total(first + 1, 0)};
    };
    switch (pass.stages[s].kind) {
      case OpKind::Phase:
        for (const TileLayer::Member& m : pass.layers[at].trained)
          measured[static_cast<std::size_t>(m.op)].own = both * total(slot + static_cast<std::size_t>(m.sum), 0);
        break;
      case OpKind::Turn:
        if (pass.stages[s].lanes) {
          put(pass.turns[at].op, slot, 0);  // the operand has the signs of lanes
        } else {
          for (std::size_t r = 0; r < pass.blocks[at].ops.size(); ++r)
            put(pass.blocks[at].ops[r], slot + 2 * r, pass.blocks[at].lanes[r]);
        }
        break;
      case OpKind::Gate:
        measured[static_cast<std::size_t>(pass.gates[at].op)].own = both * total(slot, 0);
        break;
      case OpKind::Move:
        break;
    }
  }
}

template class Sweeps<float>;
template class Sweeps<double>;

}  // namespace ketgrad
