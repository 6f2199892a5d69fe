#include "unit.hpp"

namespace ketgrad {

namespace {

Trig trig_of(const Step& step, double value) {
  const double angle = step.offset + step.scale * value, turned = step.half ? angle / 2 : angle;
  return {std::cos(turned), std::sin(turned), angle};
}

}  // namespace

std::vector<Trig> shared_trig(const std::vector<Step>& steps, const std::vector<bool>* only, const double* shared,
                              int n_shared) {
  std::vector<Trig> out(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (step.slot >= n_shared || !(has_rotor(step.kind) || step.kind == Kind::Table) || (only && !(*only)[i])) continue;
    out[i] = trig_of(step, step.slot < 0 ? 0.0 : shared[step.slot]);
    if (step.slot < 0) out[i] = {snap(out[i].c), snap(out[i].s), out[i].angle};
  }
  return out;
}

template <typename Real>
void Unit<Real>::bind(const Batch& batch, u64 first, u64 count) {
  batch_ = &batch;
  first_ = first;
  count_ = count;
  bind_rotors();
  bind_choices();
  if (lane_sweep_) {
    bind_gates();
    lane_sweep_->bind(per_sample_.data());
  } else if (tiles_) {
    bind_tiles();
  }
}

template <typename Real>
void Unit<Real>::bind_rotors() {
  const Batch& batch = *batch_;
  const u64 slots = static_cast<u64>(source_.n_per_sample), first = first_, count = count_;
  if (slots == 0) return;
  per_sample_.resize(slots * lanes);
  for (u64 l = 0; l < lanes; ++l) {
    const double* row = batch.per_sample + (first + std::min(l, count - 1)) * slots;
    for (u64 s = 0; s < slots; ++s) per_sample_[s * lanes + l] = row[s];
  }
  if (rotor_of_step_.empty()) {
    rotor_of_step_.assign(compiled_.steps.size(), -1);
    for (std::size_t i = 0; i < compiled_.steps.size(); ++i) {
      const Step& step = compiled_.steps[i];
      if (step.slot < source_.n_shared || !has_rotor(step.kind) || (tiles_ && !tiles_->gates[i])) continue;
      rotor_of_step_[i] = static_cast<std::int32_t>(own_steps_.size());
      own_steps_.push_back(i);
    }
    rotors_.resize(own_steps_.size());
  }
  for (std::size_t k = 0; k < own_steps_.size(); ++k) {
    const Step& step = compiled_.steps[own_steps_[k]];
    Rotor<Real>& r = rotors_[k];
    const double* values = per_sample_.data() + static_cast<u64>(step.slot - source_.n_shared) * lanes;
    const u64 distinct = lanes_mode() ? count : 1;
    Trig t{};
    for (u64 l = 0; l < lanes; ++l) {
      if (l < distinct) t = trig_of(step, values[l]);
      r.c[l] = static_cast<Real>(t.c);
      r.s[l] = static_cast<Real>(t.s);
    }
  }
}

template <typename Real>
void Unit<Real>::bind_choices() {
  const bool fresh = chosen_.empty();
  chosen_.resize(compiled_.denses.size());
  for (std::size_t d = 0; d < chosen_.size(); ++d) {
    const DenseOperand<Real>& operand = compiled_.denses[d];
    if (operand.slot() < 0) {
      if (fresh) chosen_[d].fill(operand.choice(0));
      continue;
    }
    const double* values = per_sample_.data() + static_cast<u64>(operand.slot() - source_.n_shared) * lanes;
    for (std::size_t l = 0; l < lanes; ++l) chosen_[d][l] = operand.choice(values[lanes_mode() ? l : 0]);
  }
}

template <typename Real>
Rotor<Real> Unit<Real>::rotor(std::size_t step, bool inverse) const {
  Rotor<Real> out;
  const std::int32_t own = rotor_of_step_.empty() ? -1 : rotor_of_step_[step];
  if (own >= 0) {
    out = rotors_[static_cast<std::size_t>(own)];
    if (inverse)
      for (Real& s : out.s) s = -s;
    return out;
  }
  const Real c = static_cast<Real>(trig_[step].c), s = static_cast<Real>(inverse ? -trig_[step].s : trig_[step].s);
  std::fill(out.c, out.c + lanes, c);
  std::fill(out.s, out.s + lanes, s);
  return out;
}

template <typename Real>
TableEntries<Real> Unit<Real>::entries(std::size_t index, bool inverse, Buffer& memory) const {
  const Step& step = compiled_.steps[index];
  const TableOperand<Real>& operand = compiled_.tables[static_cast<std::size_t>(step.operand)];
  if (!operand.diagonal) return {operand.phases.data(), nullptr, false, inverse};
  const std::vector<double>& values = operand.diagonal->values;
  const bool per_lane = step.slot >= source_.n_shared && lanes_mode();
  const u64 copies = per_lane ? lanes : 1;
  memory = Buffer(values.size() * 2 * copies * sizeof(Real));
  Real* phases = memory.as<Real>();
  const double* samples = step.slot >= source_.n_shared
                              ? per_sample_.data() + static_cast<u64>(step.slot - source_.n_shared) * lanes
                              : nullptr;
  executor_.over(values.size(), [&](u64 begin, u64 end, u64) {
    for (u64 e = begin; e < end; ++e)
      for (u64 l = 0; l < copies; ++l) {
        const double angle = samples ? step.offset + step.scale * samples[l] : trig_[index].angle;
        phases[e * 2 * copies + l] = static_cast<Real>(std::cos(angle * values[e]));
        phases[e * 2 * copies + copies + l] = static_cast<Real>(std::sin(angle * values[e]));
      }
    executor_.watch.tick((end - begin) * copies * 50);
  });
  return {phases, operand.diagonal->weights.data(), per_lane, inverse};
}

template <typename Real>
void Unit<Real>::prepare(const Instruction& in, Real* psi) {
  const double* amplitudes = source_.pool.data() + in.payload;
  const int lane_bits = compiled_.layout.lane_bits;
  for (u64 x = 0; x < u64{1} << in.k; ++x) {
    u64 index = 0, rest = x;
    for (u64 mask = in.x_mask; mask; rest >>= 1, mask &= mask - 1)
      if (rest & 1) index |= mask & -mask;
    Real* p = psi + (index >> lane_bits) * group;
    const u64 lane = index & ((u64{1} << lane_bits) - 1);
    for (u64 l = lane; l < lanes; l += lanes_mode() ? 1 : lanes) {
      p[l] = static_cast<Real>(amplitudes[2 * x]);
      p[lanes + l] = static_cast<Real>(amplitudes[2 * x + 1]);
    }
  }
}

template <typename Real>
void Unit<Real>::apply(std::size_t index, Real* psi, Way way) {
  const bool inverse = way != Way::Forward;
  const Step& step = compiled_.steps[index];
  const std::size_t at = static_cast<std::size_t>(step.operand);
  switch (step.kind) {
    case Kind::Pair: {
      const Rotor<Real> r = rotor(index, inverse);
      const GateOp<Real>& op = compiled_.gates[at];
      executor_.over(op.index.count, [&](u64 begin, u64 end, u64) { kernels_.pair(psi, op, r, begin, end); });
      break;
    }
    case Kind::Diagonal: {
      const Rotor<Real> r = rotor(index, inverse);
      const GateOp<Real>& op = compiled_.gates[at];
      executor_.over(op.index.count, [&](u64 begin, u64 end, u64) { kernels_.diagonal(psi, op, r, begin, end); });
      break;
    }
    case Kind::Permute: {
      const GateOp<Real>& op = compiled_.gates[at];
      executor_.over(op.index.count, [&](u64 begin, u64 end, u64) { kernels_.permute(psi, op, begin, end); });
      break;
    }
    case Kind::Mix: {
      const MixOp<Real>& op = inverse ? compiled_.inverse_mixes[at] : compiled_.mixes[at];
      executor_.over(op.index.count, [&](u64 begin, u64 end, u64) { kernels_.mix(psi, op, begin, end); });
      break;
    }
    case Kind::Dense: {
      DenseOp<Real> op = compiled_.denses[at].op;
      std::vector<Real> memory;
      if (!compiled_.denses[at].pick(chosen_[at], way, op, memory)) break;
      executor_.over(op.index.count, [&](u64 begin, u64 end, u64) {
        const Buffer scratch(compiled_.dense_scratch);
        const u64 inputs = static_cast<u64>(op.n_hi) * static_cast<u64>(op.n_lo);
        const u64 step_items = std::max<u64>(1, 200'000 / std::max<u64>(1, inputs * inputs));
        for (u64 b = begin; b < end; b += step_items) {
          kernels_.dense(psi, op, scratch.as<Real>(), b, std::min(end, b + step_items));
          executor_.watch.tick(step_items * inputs * static_cast<u64>(op.n_hi) * 4);
        }
      });
      break;
    }
    case Kind::Table: {
      Buffer memory;
      const TableEntries<Real> e = entries(index, inverse, memory);
      const TableOp<Real>& op = compiled_.tables[at].op;
      executor_.over(op.index.count, [&](u64 begin, u64 end, u64) { kernels_.table(psi, op, e, begin, end); });
      break;
    }
    case Kind::Prepare:
      prepare(source_.instructions[index], psi);
      break;
  }
}

template <typename Real>
template <typename Row, typename F>
void Unit<Real>::along_rows(Row row, F f) {
  executor_.over(compiled_.layout.groups, [&](u64 begin, u64 end, u64) {
    for (int l = 0; l < lanes; ++l) {
      const Real* from = row(static_cast<u64>(l));
      for (u64 i = begin; i < end; ++i) {
        const u64 index = lanes_mode() ? i : i * lanes + static_cast<u64>(l);
        for (u64 part = 0; part < 2; ++part) f((2 * i + part) * lanes + static_cast<u64>(l), from[2 * index + part]);
      }
    }
  });
}

template <typename Real>
void Unit<Real>::copy(const Real* from, Real* to) const {
  executor_.over(compiled_.layout.groups, [&](u64 begin, u64 end, u64) {
    std::memcpy(to + begin * group, from + begin * group, (end - begin) * group * sizeof(Real));
  });
}

template <typename Real>
void Unit<Real>::load_initial(Real* psi) {
  const Real* rows = static_cast<const Real*>(batch_->initial);
  const u64 reals = u64{2} << source_.n_bits;
  auto row = [&](u64 lane) {
    if (batch_->one_initial) return rows;
    return rows + (first_ + (lanes_mode() ? std::min(lane, count_ - 1) : 0)) * reals;
  };
  along_rows(row, [&](u64 at, Real value) { psi[at] = value; });
}

template <typename Real>
void Unit<Real>::add(const Real* states, Real* lambda) {
  const u64 reals = u64{2} << source_.n_bits;
  auto row = [&](u64 lane) { return states + (lanes_mode() ? std::min(lane, count_ - 1) : 0) * reals; };
  along_rows(row, [&](u64 at, Real value) { lambda[at] += value; });
}

template <typename Real>
bool Unit<Real>::from_zero() const {
  return !batch_->initial && !starts_prepared(source_);
}

template <typename Real>
void Unit<Real>::forward(Real* psi) {
  const bool prepared = starts_prepared(source_);
  const bool sparse = sweeps_ && from_zero();
  if (batch_->initial) {
    load_initial(psi);
  } else {
    const u64 groups = sparse && tiles_->complete ? u64{1} << tiles_->row_bits : compiled_.layout.groups;
    executor_.over(groups, [&](u64 begin, u64 end, u64) {
      std::memset(psi + begin * group, 0, (end - begin) * group * sizeof(Real));
    });
    if (!prepared) std::fill(psi, psi + (lanes_mode() ? lanes : 1), Real(1));
  }
  if (!tiles_) {
    for (std::size_t i = 0; i < compiled_.steps.size(); ++i) apply(i, psi, Way::Forward);
    return;
  }
  if (prepared) apply(0, psi, Way::Forward);
  if (lane_sweep_) {
    if (batch_->initial) lane_sweep_->head(psi, false);
    return lane_sweep_->forward(psi, from_zero());
  }
  double factor = 1;
  for (const TilePass<Real>& pass : tiles_->passes) {
    if (pass.whole >= 0)
      apply(static_cast<std::size_t>(pass.whole), psi, Way::Forward);
    else
      sweeps_->forward(pass, psi, sparse, factor);
  }
}

template <typename Real>
void Unit<Real>::record(const Step& step, const std::vector<double>& sums, u64 tasks, double* gradients) const {
  const double factor = step.slope * step.scale;
  double lane_sum[lanes] = {};
  for (u64 t = 0; t < tasks; ++t)
    for (u64 l = 0; l < lanes; ++l) lane_sum[l] += sums[t * lanes + l];
  double* out = gradients + static_cast<u64>(step.slot) * static_cast<u64>(width());
  if (lanes_mode()) {
    for (u64 l = 0; l < lanes; ++l) out[l] += factor * lane_sum[l];
  } else {
    double sum = 0;
    for (u64 l = 0; l < lanes; ++l) sum += lane_sum[l];
    out[0] += factor * sum;
  }
}

template <typename Real>
void Unit<Real>::reverse_step(std::size_t i, Real* psi, Real* lambda, double* gradients) {
  const Step& step = compiled_.steps[i];
  const std::size_t at = static_cast<std::size_t>(step.operand);
  if (step.slot < 0) {
    apply(i, psi, Way::Undo);
    apply(i, lambda, Way::Adjoint);
    return;
  }
  const u64 items = step.kind == Kind::Table ? compiled_.tables[at].op.index.count : compiled_.gates[at].index.count;
  const u64 tasks = Executor::tasks(items);
  std::vector<double> sums(tasks * lanes);
  if (step.kind == Kind::Table) {
    Buffer memory;
    const TableEntries<Real> e = entries(i, true, memory);
    executor_.over(items, [&](u64 begin, u64 end, u64 t) {
      kernels_.table_reverse(psi, lambda, compiled_.tables[at].op, e, begin, end, sums.data() + t * lanes);
    });
  } else {
    const Rotor<Real> r = rotor(i, true);
    const GateOp<Real>& op = compiled_.gates[at];
    const auto kernel = step.kind == Kind::Pair ? kernels_.pair_reverse : kernels_.diagonal_reverse;
    executor_.over(items,
                   [&](u64 begin, u64 end, u64 t) { kernel(psi, lambda, op, r, begin, end, sums.data() + t * lanes); });
  }
  record(step, sums, tasks, gradients);
}

template <typename Real>
void Unit<Real>::reverse(Real* psi, Real* lambda, const Gradients& out, bool to_start) {
  if (lane_sweep_) {
    lane_sweep_->reverse(psi, lambda, out, count_, to_start, from_zero());
    if (to_start) lane_sweep_->head(lambda, true);
    return;
  }
  if (tiles_)
    reverse_tiles(psi, lambda, out.by_lane, to_start);
  else
    reverse_gates(psi, lambda, out.by_lane, to_start);
  if (!out.total) return;
  const u64 each = static_cast<u64>(width());
  for (u64 s = 0; s < static_cast<u64>(source_.n_shared); ++s)
    for (u64 l = 0; l < (lanes_mode() ? count_ : 1); ++l) out.total[s] += out.by_lane[s * each + l];
}

template <typename Real>
void Unit<Real>::reverse_gates(Real* psi, Real* lambda, double* gradients, bool to_start) {
  const auto& steps = compiled_.steps;
  std::size_t first = 0;  // nothing before the first parameter has a gradient
  while (first < steps.size() && steps[first].slot < 0) ++first;
  for (std::size_t i = steps.size(); i-- > first;) reverse_step(i, psi, lambda, gradients);
  if (to_start)
    for (std::size_t i = first; i-- > 0;) apply(i, lambda, Way::Adjoint);
}

template <typename Real>
void Unit<Real>::unpack(const Real* psi, Real* out) {
  const u64 groups = compiled_.layout.groups;
  if (lanes_mode()) {
    for (u64 l = 0; l < count_; ++l)
      for (u64 i = 0; i < groups; ++i) {
        out[2 * (l * groups + i)] = psi[i * group + l];
        out[2 * (l * groups + i) + 1] = psi[i * group + lanes + l];
      }
    return;
  }
  executor_.over(groups, [&](u64 begin, u64 end, u64) {
    for (u64 i = begin; i < end; ++i) {
      Real here[group];
      std::memcpy(here, psi + i * group, sizeof here);
      for (int l = 0; l < lanes; ++l) {
        out[i * group + 2 * static_cast<u64>(l)] = here[l];
        out[i * group + 2 * static_cast<u64>(l) + 1] = here[lanes + l];
      }
    }
  });
}

template class Unit<float>;
template class Unit<double>;

}  // namespace ketgrad
