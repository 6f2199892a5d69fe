// The members of `Unit` for states that go by a plan.
#include "unit.hpp"

namespace ketgrad {

template <typename Real>
void Unit<Real>::bind_tiles() {
  const std::size_t steps = compiled_.steps.size();
  angles_.assign(steps, 0.0);
  for (std::size_t i = 0; i < steps; ++i) {
    const Step& step = compiled_.steps[i];
    const double value = step.slot < 0 ? 0.0
                         : step.slot < source_.n_shared
                             ? batch_->shared[step.slot]
                             : per_sample_[static_cast<u64>(step.slot - source_.n_shared) * lanes];
    angles_[i] = step.offset + step.scale * value;
  }
  bind_gates();
  sweeps_.emplace(*tiles_, kernels_, executor_, tiles_->words.evaluate(source_, angles_), gate_rotors_, gate_entries_,
                  chosen_);
}

template <typename Real>
void Unit<Real>::bind_gates() {
  if (std::find(tiles_->gates.begin(), tiles_->gates.end(), true) == tiles_->gates.end()) return;
  const std::size_t steps = compiled_.steps.size();
  gate_rotors_.resize(steps);
  gate_entries_.resize(steps);
  gate_memory_.clear();
  for (std::size_t i = 0; i < steps; ++i) {
    if (!tiles_->gates[i]) continue;
    const Kind kind = compiled_.steps[i].kind;
    if (kind == Kind::Table) {
      gate_memory_.emplace_back();
      gate_entries_[i] = entries(i, false, gate_memory_.back());
    } else if (has_rotor(kind)) {
      gate_rotors_[i] = rotor(i, false);
    }
  }
}

template <typename Real>
void Unit<Real>::to_logical(Real* state) {
  if (lane_sweep_) return lane_sweep_->tail(state, false);
  if (!tiles_) return;
  double factor = 1;
  for (const TilePass<Real>& pass : tiles_->tail) sweeps_->forward(pass, state, false, factor);
}

template <typename Real>
void Unit<Real>::from_logical(Real* state) {
  if (lane_sweep_) return lane_sweep_->tail(state, true);
  if (!tiles_) return;
  for (std::size_t p = tiles_->tail.size(); p-- > 0;)
    sweeps_->undo(tiles_->tail[p], tiles_->tail[p].stages.size(), state);
}

template <typename Real>
void Unit<Real>::reverse_tiles(Real* psi, Real* lambda, double* gradients, bool to_start) {
  const auto& passes = tiles_->passes;
  const Words& words = tiles_->words;
  std::size_t first_pass = 0, first_stage = 0;  // nothing before the first parameter has a gradient
  for (; first_pass < passes.size(); ++first_pass) {
    const TilePass<Real>& pass = passes[first_pass];
    if (pass.whole >= 0) {
      if (compiled_.steps[static_cast<std::size_t>(pass.whole)].slot >= 0) break;
      continue;
    }
    const auto at = std::find(pass.trained.begin(), pass.trained.end(), true);
    first_stage = static_cast<std::size_t>(at - pass.trained.begin());
    if (at != pass.trained.end()) break;
    first_stage = 0;
  }
  std::vector<Measured> measured(words.ops.size());
  double factor = 1;
  for (std::size_t p = passes.size(); p-- > (to_start ? 0 : first_pass);) {
    const TilePass<Real>& pass = passes[p];
    if (pass.whole >= 0) {
      if (p >= first_pass)
        reverse_step(static_cast<std::size_t>(pass.whole), psi, lambda, gradients);
      else
        apply(static_cast<std::size_t>(pass.whole), lambda, Way::Adjoint);
      continue;
    }
    const std::size_t from = p > first_pass ? 0 : p == first_pass ? first_stage : pass.stages.size();
    if (from < pass.stages.size()) sweeps_->reverse(pass, from, psi, lambda, measured, to_start ? nullptr : &factor);
    if (to_start && from > 0) sweeps_->undo(pass, from, lambda);
  }
  std::vector<double> of_instruction(compiled_.steps.size());
  for (std::size_t o = 0; o < words.ops.size(); ++o) {
    const Op& op = words.ops[o];
    if (!tiles_->trained[o]) continue;
    if (op.kind == OpKind::Gate) {
      of_instruction[static_cast<std::size_t>(op.gate)] +=
          compiled_.steps[static_cast<std::size_t>(op.gate)].slope * measured[o].own;
      continue;
    }
    const Angle& angle = words.angles[static_cast<std::size_t>(op.angle)];
    if (angle.group < 0) {
      of_instruction[static_cast<std::size_t>(angle.instruction)] += angle.factor * measured[o].own;
    } else if (op.kind == OpKind::Turn) {
      // along z by the phase that follows it: whatever came between commutes with that
      const auto& members = words.groups[static_cast<std::size_t>(angle.group)].members;
      const auto shares = words.shares(source_, angles_, angle.group);
      for (std::size_t m = 0; m < members.size(); ++m)
        of_instruction[static_cast<std::size_t>(members[m])] +=
            shares[m][0] * measured[o].flip + shares[m][1] * measured[o].own + shares[m][2] * measured[o + 1].own;
    }
  }
  for (std::size_t i = 0; i < of_instruction.size(); ++i) {
    const Step& step = compiled_.steps[i];
    if (step.slot >= 0) gradients[step.slot] += step.scale * of_instruction[i];
  }
}

template void Unit<float>::bind_tiles();
template void Unit<double>::bind_tiles();
template void Unit<float>::bind_gates();
template void Unit<double>::bind_gates();
template void Unit<float>::to_logical(float*);
template void Unit<double>::to_logical(double*);
template void Unit<float>::from_logical(float*);
template void Unit<double>::from_logical(double*);
template void Unit<float>::reverse_tiles(float*, float*, double*, bool);
template void Unit<double>::reverse_tiles(double*, double*, double*, bool);

}  // namespace ketgrad
