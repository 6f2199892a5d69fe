#include "lane_program.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "one_qubit.hpp"

namespace ketgrad {

namespace {

bool has_angle(Opcode opcode) {
  return opcode == Opcode::Phase || opcode == Opcode::PauliRot || opcode == Opcode::PairRot ||
         opcode == Opcode::ExpDiag;
}

u64 touched(const Instruction& in) { return in.x_mask | in.z_mask | in.ctrl_mask; }

// Whether an instruction only moves amplitudes.
bool is_move(const Instruction& in) {
  const auto opcode = static_cast<Opcode>(in.opcode);
  return opcode == Opcode::Swap || (opcode == Opcode::Pauli && in.z_mask == 0);
}

// Where it moves index i.
u64 moved_to(const Instruction& in, u64 i) {
  if ((i & in.ctrl_mask) != in.ctrl_value) return i;
  const bool swap = static_cast<Opcode>(in.opcode) == Opcode::Swap;
  return swap && !is_odd(i & in.x_mask) ? i : i ^ in.x_mask;
}

}  // namespace

template <typename Real>
LaneProgram<Real>::LaneProgram(const Source& source) : source_(source),
                                                       compiled_(source, source.terms, 0) {
  for (const Instruction& in : source.instructions)
    if (static_cast<Opcode>(in.opcode) == Opcode::Kraus)
      throw std::invalid_argument("circuits with choices of matrices are shifted row by row");
  merge();
}

// The bit of an instruction that is a 2x2 matrix on one qubit, or -1.
template <typename Real>
int LaneProgram<Real>::single_bit(const Instruction& in) const {
  const u64 bits = touched(in);
  if (std::popcount(bits) != 1) return -1;
  switch (static_cast<Opcode>(in.opcode)) {
    case Opcode::Phase:
      return std::countr_zero(bits);
    case Opcode::Pauli:
    case Opcode::PauliRot:
    case Opcode::Dense:
      return in.ctrl_mask ? -1 : std::countr_zero(bits);
    default:
      return -1;
  }
}

// Runs of gates on one qubit, closed by the first instruction that touches the qubit otherwise; and runs of moves,
// closed by the first op that touches their qubits. A run of gates that was open before its qubit moved goes before the
// moves.
template <typename Real>
void LaneProgram<Real>::merge() {
  op_of_.resize(source_.instructions.size());
  std::vector<std::size_t> open[kMaxBits], moves;
  u64 moving = 0;
  auto emit = [&](std::vector<std::size_t>& run, u64 bits) {
    if (!run.empty() && (bits & moving)) {
      close(moves);
      moving = 0;
    }
    close(run);
  };
  for (std::size_t i = 0; i < source_.instructions.size(); ++i) {
    const Instruction& in = source_.instructions[i];
    if (static_cast<Opcode>(in.opcode) == Opcode::Prepare) continue;
    const int bit = single_bit(in);
    if (bit >= 0) {
      open[bit].push_back(i);
      continue;
    }
    for (u64 bits = touched(in); bits; bits &= bits - 1) emit(open[std::countr_zero(bits)], bits & -bits);
    if (is_move(in)) {
      moves.push_back(i);
      moving |= touched(in);
    } else {
      std::vector<std::size_t> alone{i};
      emit(alone, touched(in));
    }
  }
  close(moves);
  for (auto& run : open) close(run);
}

template <typename Real>
void LaneProgram<Real>::close(std::vector<std::size_t>& run) {
  if (run.empty()) return;
  const Step& step = compiled_.steps[run[0]];
  Op op{step.kind, static_cast<std::size_t>(step.operand), run};
  op.merged = run.size() > 1;
  if (op.merged && single_bit(source_.instructions[run[0]]) < 0) {
    op.kind = Kind::Permute;
    op.operand = cycles_.size();
    cycles_.push_back(cycles(run));
  } else if (op.merged) {
    op.kind = Kind::Mix;
    op.operand = mixes_.size();
    mixes_.push_back(matrices(run));
  }
  op.angled = op.merged ? op.kind == Kind::Mix
                        : has_rotor(step.kind) || (step.kind == Kind::Table && compiled_.tables[op.operand].diagonal);
  for (const std::size_t i : run) {
    op.varies = op.varies || source_.instructions[i].slot >= source_.n_shared;
    op_of_[i] = ops_.size();
  }
  ops_.push_back(std::move(op));
  run.clear();
}

template <typename Real>
MixOp<Real> LaneProgram<Real>::matrices(const std::vector<std::size_t>& run) const {
  MixOp<Real> out{};
  out.x_hi = touched(source_.instructions[run[0]]);
  out.index = {out.x_hi, 0, compiled_.layout.groups / 2};
  out.real = std::all_of(run.begin(), run.end(),
                         [&](std::size_t i) { return is_real(source_.instructions[i], source_.pool.data()); });
  return out;
}

template <typename Real>
std::vector<std::uint32_t> LaneProgram<Real>::cycles(const std::vector<std::size_t>& run) const {
  const u64 groups = compiled_.layout.groups;
  std::vector<std::uint32_t> from(groups), out;
  for (u64 i = 0; i < groups; ++i) {
    u64 to = i;
    for (const std::size_t instruction : run) to = moved_to(source_.instructions[instruction], to);
    from[to] = static_cast<std::uint32_t>(i);
  }
  for (u64 i = 0; i < groups; ++i) {
    if (from[i] == i) continue;
    const std::size_t length = out.size();
    out.push_back(0);
    for (std::uint32_t at = static_cast<std::uint32_t>(i); from[at] != at; ++out[length]) {
      out.push_back(at);
      at = std::exchange(from[at], at);  // done with
    }
  }
  return out;
}

template <typename Real>
double LaneProgram<Real>::angle(std::size_t instruction, const Slots& slots, int lane) const {
  const Instruction& in = source_.instructions[instruction];
  if (in.slot < 0) return in.offset;
  const double value =
      in.slot < source_.n_shared ? slots.shared[in.slot] : slots.per_sample[lane][in.slot - source_.n_shared];
  return in.offset + in.scale * value;
}

template <typename Real>
typename LaneProgram<Real>::Numbers LaneProgram<Real>::blank(const Op& op, bool per_lane) const {
  Numbers out{};
  if (op.merged && op.kind == Kind::Mix) {
    out.mix = mixes_[op.operand];
  } else if (op.kind == Kind::Table) {
    out.per_lane = per_lane;
    const u64 values = compiled_.tables[op.operand].diagonal->values.size();
    out.phases.resize(2 * values * (per_lane ? lanes : 1));
  }
  return out;
}

template <typename Real>
void LaneProgram<Real>::set(const Op& op, const Slots& slots, int lane, int period, const Shifted* from,
                            const Shifted* to, Numbers& out) const {
  auto angle_of = [&](std::size_t i) {
    double value = angle(i, slots, lane);
    for (const Shifted* s = from; s != to; ++s)
      if (s->instruction == i && s->lane == lane) value += s->shift;
    return value;
  };
  auto fill = [&](Real* row, double value) {
    for (int l = lane; l < lanes; l += period) row[l] = static_cast<Real>(value);
  };
  const std::size_t only = op.members[0];
  if (op.merged) {
    OneQubit m;
    for (const std::size_t i : op.members) {
      const Instruction& in = source_.instructions[i];
      const bool turns = has_angle(static_cast<Opcode>(in.opcode));
      m = matrix_of(in, source_.pool.data(), turns ? angle_of(i) : 0.0) * m;
    }
    for (int side = 0; side < 2; ++side) {
      const std::complex<double> c = m.entry[side][side], s = m.entry[side][1 - side];
      fill(out.mix.c_re[side], c.real());
      fill(out.mix.c_im[side], c.imag());
      fill(out.mix.s_re[side], s.real());
      fill(out.mix.s_im[side], s.imag());
    }
  } else if (op.kind == Kind::Table) {
    const std::vector<double>& values = compiled_.tables[op.operand].diagonal->values;
    const double turn = angle_of(only);
    const u64 width = out.per_lane ? lanes : 1;
    for (u64 v = 0; v < values.size(); ++v) {
      Real* at = out.phases.data() + 2 * width * v;
      const double c = std::cos(turn * values[v]), s = std::sin(turn * values[v]);
      if (out.per_lane) {
        fill(at, c);
        fill(at + lanes, s);
      } else {
        at[0] = static_cast<Real>(c);
        at[1] = static_cast<Real>(s);
      }
    }
  } else {
    const double value = angle_of(only), turned = compiled_.steps[only].half ? value / 2 : value;
    fill(out.rotor.c, std::cos(turned));
    fill(out.rotor.s, std::sin(turned));
  }
}

template <typename Real>
std::vector<typename LaneProgram<Real>::Numbers> LaneProgram<Real>::bind(const Slots& slots, int distinct) const {
  std::vector<Numbers> out(ops_.size());
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    const Op& op = ops_[i];
    if (!op.angled) continue;
    const int period = op.varies ? distinct : 1;
    out[i] = blank(op, period > 1);
    for (int lane = 0; lane < period; ++lane) set(op, slots, lane, period, nullptr, nullptr, out[i]);
  }
  return out;
}

template <typename Real>
void LaneProgram<Real>::start(Real* psi) const {
  std::memset(psi, 0, state_bytes());
  const bool prepared = !compiled_.steps.empty() && compiled_.steps[0].kind == Kind::Prepare;
  if (!prepared) return std::fill(psi, psi + lanes, Real(1));
  const Instruction& in = source_.instructions[0];
  const double* amplitudes = source_.pool.data() + in.payload;
  for (u64 x = 0; x < u64{1} << in.k; ++x) {
    Real* at = psi + deposit_bits(x, in.x_mask) * group;
    std::fill(at, at + lanes, static_cast<Real>(amplitudes[2 * x]));
    std::fill(at + lanes, at + group, static_cast<Real>(amplitudes[2 * x + 1]));
  }
}

template <typename Real>
void LaneProgram<Real>::run(std::size_t first, std::size_t last, const std::vector<Numbers>& bound, const Slots& slots,
                            const std::vector<Shifted>& moved, const KernelTable<Real>& kernels, Real* psi,
                            Watch& watch) const {
  auto next = std::lower_bound(moved.begin(), moved.end(), first, [](const Shifted& s, u64 op) { return s.op < op; });
  Numbers own[2];
  // the numbers of op i, with the angles that differ
  auto numbers = [&](std::size_t i, Numbers& here) -> const Numbers& {
    if (next == moved.end() || next->op != i) return bound[i];
    const Op& op = ops_[i];
    const auto from = next;
    while (next != moved.end() && next->op == i) ++next;
    if (op.kind == Kind::Table) {  // every lane has its own phases
      here = blank(op, true);
      for (int lane = 0; lane < lanes; ++lane) set(op, slots, lane, lanes, &*from, &*from + (next - from), here);
    } else {
      here = bound[i];
      for (auto s = from; s != next; ++s) set(op, slots, s->lane, lanes, &*s, &*s + 1, here);
    }
    return here;
  };
  for (std::size_t i = first; i < last; ++i) {
    const Numbers& one = numbers(i, own[0]);
    const MixOp<Real>* a = mix(i, one);
    if (!a || i + 1 == last || !mix(i + 1, bound[i + 1])) {
      apply(ops_[i], one, kernels, psi, watch);
      continue;
    }
    ++i;
    const MixOp<Real>* b = mix(i, numbers(i, own[1]));
    const IndexMap index{a->x_hi | b->x_hi, 0, compiled_.layout.groups / 4};
    kernels.mix_both(psi, *a, *b, index);
    watch.tick(15 * index.count + 20);
  }
}

// The matrices of an op that couples single groups without controls, or null.
template <typename Real>
const MixOp<Real>* LaneProgram<Real>::mix(std::size_t i, const Numbers& numbers) const {
  const Op& op = ops_[i];
  if (op.kind != Kind::Mix) return nullptr;
  const MixOp<Real>& out = op.merged ? numbers.mix : compiled_.mixes[op.operand];
  return out.index.fixed == out.x_hi ? &out : nullptr;
}

template <typename Real>
void LaneProgram<Real>::apply(const Op& op, const Numbers& numbers, const KernelTable<Real>& kernels, Real* psi,
                              Watch& watch) const {
  u64 items = 0;
  switch (op.kind) {
    case Kind::Pair:
    case Kind::Diagonal: {
      const GateOp<Real>& gate = compiled_.gates[op.operand];
      (op.kind == Kind::Pair ? kernels.pair : kernels.diagonal)(psi, gate, numbers.rotor, 0, items = gate.index.count);
      break;
    }
    case Kind::Permute: {
      if (op.merged) {
        kernels.cycle(psi, cycles_[op.operand].data(), items = cycles_[op.operand].size());
        break;
      }
      const GateOp<Real>& gate = compiled_.gates[op.operand];
      kernels.permute(psi, gate, 0, items = gate.index.count);
      break;
    }
    case Kind::Mix: {
      const MixOp<Real>& mix = op.merged ? numbers.mix : compiled_.mixes[op.operand];
      kernels.mix(psi, mix, 0, items = mix.index.count);
      break;
    }
    case Kind::Dense: {
      DenseOp<Real> dense = compiled_.denses[op.operand].op;
      std::vector<Real> memory;
      compiled_.denses[op.operand].pick({}, Way::Forward, dense, memory);
      const Buffer scratch(compiled_.dense_scratch);
      const u64 inputs = static_cast<u64>(dense.n_hi);  // 2^k: there are no targets among the lanes
      const u64 piece = std::max<u64>(1, 200'000 / (inputs * inputs));
      for (u64 begin = 0; begin < dense.index.count; begin += piece) {
        kernels.dense(psi, dense, scratch.as<Real>(), begin, std::min(dense.index.count, begin + piece));
        watch.tick(piece * inputs * inputs * 4);
      }
      break;
    }
    case Kind::Table: {
      const TableOperand<Real>& table = compiled_.tables[op.operand];
      const TableEntries<Real> entries{table.diagonal ? numbers.phases.data() : table.phases.data(), nullptr,
                                       numbers.per_lane, false};
      kernels.table(psi, table.op, entries, 0, items = table.op.index.count);
      break;
    }
    case Kind::Prepare:
      break;
  }
  watch.tick(5 * items + 20);
}

template class LaneProgram<float>;
template class LaneProgram<double>;

}  // namespace ketgrad
