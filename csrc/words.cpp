#include "words.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

namespace ketgrad {

namespace {

using Complex = std::complex<double>;

constexpr double kPi = std::numbers::pi;
constexpr int kMaxPhaseControls = 3;       // 2^3 phases
constexpr std::size_t kMaxOvertaken = 64;  // ops that a postponed move may overtake

u64 one(int bit) { return u64{1} << bit; }

class Rewriter {
 public:
  Rewriter(Words& out, const Source& source, int lane_bits)
      : out_(out),
        source_(source),
        lanes_(one(lane_bits) - 1),
        apart_(lane_bits == 0 ? source.n_shared : std::numeric_limits<int>::max()) {
    for (int q = 0; q < source.n_bits; ++q) {
      flips_.push_back(one(q));
      signs_.push_back(one(q));
    }
    open_.resize(static_cast<std::size_t>(source.n_bits));
    for (std::size_t i = source.instructions.size(); i-- > 0;) {
      const Instruction& in = source.instructions[i];
      if (in.slot >= 0 && static_cast<Opcode>(in.opcode) != Opcode::Kraus) first_angle_ = static_cast<int>(i);
    }
  }

  // Begins with a relabelling, which |0..0> does not see: groups that differ in high bits only would lie multiples of
  // 4 KiB apart, in one set of the first-level cache.
  void spread(int from) {
    for (int q = from; q < source_.n_bits; ++q) controlled_flip(q, one((q - from) % std::min(from, kSetBits)));
    for (const auto& [control, x] : done_) out_.head.push_back(move(control, x));
  }

  void run() {
    for (std::size_t i = 0; i < source_.instructions.size(); ++i) instruction(static_cast<int>(i));
    close(~u64{0});
    bool projectors = false;
    for (const Term& t : source_.terms) projectors = projectors || t.ctrl_mask;
    if (projectors) settle();
    for (const Term& t : source_.terms) term(t);
    std::vector<Op> ops = std::exchange(out_.ops, {});
    if (!projectors) postpone_moves(ops);
    settle();
    out_.tail = std::exchange(out_.ops, std::move(ops));
  }

 private:
  // Moves that nothing follows are left to the tail: the observables can do without.
  void postpone_moves(std::vector<Op>& ops) {
    std::vector<Op> kept;  // backwards
    while (!ops.empty()) {
      Op op = ops.back();
      ops.pop_back();
      const bool last = op.kind == OpKind::Move &&
                        std::all_of(kept.begin(), kept.end(), [&](const Op& later) { return commute(op, later); });
      if (!last) {
        kept.push_back(op);
        if (kept.size() > kMaxOvertaken) break;
        continue;
      }
      out_.ops.insert(out_.ops.begin(), op);
      for (std::size_t k = 0; k < out_.terms.size(); ++k) {
        Term& t = out_.terms[k];
        const int ys = std::popcount(t.x_mask & t.z_mask);
        if (is_odd(t.z_mask & op.flips)) {
          t.z_mask ^= op.signs;
          if (op.even) out_.term_signs[k] = -out_.term_signs[k];
        }
        if (is_odd(t.x_mask & op.signs)) t.x_mask ^= op.flips;
        if ((std::popcount(t.x_mask & t.z_mask) - ys) & 2) out_.term_signs[k] = -out_.term_signs[k];
      }
    }
    ops.insert(ops.end(), kept.rbegin(), kept.rend());
  }

  // words

  u64 physical_flips(u64 x) const {
    u64 out = 0;
    for (; x; x &= x - 1) out ^= flips_[static_cast<std::size_t>(std::countr_zero(x))];
    return out;
  }

  u64 physical_signs(u64 z) const {
    u64 out = 0;
    for (; z; z &= z - 1) out ^= signs_[static_cast<std::size_t>(std::countr_zero(z))];
    return out;
  }

  bool varies(int instruction) const {
    return source_.instructions[static_cast<std::size_t>(instruction)].slot >= apart_;
  }

  double word_sign(u64 signs) const { return ketgrad::sign_of(signs & offset_); }

  int angle(Angle a) {
    out_.angles.push_back(a);
    return static_cast<int>(out_.angles.size()) - 1;
  }

  void push(OpKind kind, u64 flips, u64 signs, Angle a, bool full = false) {
    Op op{kind};
    op.flips = flips;
    op.signs = signs;
    op.full = full;
    op.varies = a.instruction >= 0 && a.factor != 0 && varies(a.instruction);
    op.angle = angle(a);
    out_.ops.push_back(op);
  }

  // exp(-i (factor theta + constant) Z^z / 2)
  void phase(u64 z, int instruction, double factor, double constant) {
    const u64 u = physical_signs(z);
    const double s = word_sign(u);
    push(OpKind::Phase, 0, u, {instruction, -1, 0, s * factor, s * constant});
  }

  // exp(-i theta P / 2), P the Hermitian word of x and z.
  void turn(u64 x, u64 z, int instruction) {
    const int ys = std::popcount(x & z);
    const u64 v = physical_flips(x), u = physical_signs(z);
    double factor = word_sign(u) * ((ys & 3) < 2 ? 1 : -1);
    if (ys & 1) {
      push(OpKind::Turn, v, u, {instruction, -1, 0, factor, 0});
      return;
    }
    const u64 pivot = std::bit_floor(x), k = physical_signs(pivot);
    phase(pivot, -1, 0, -kPi / 2);
    // between the phases the word is -W, W = i X^v Z^(u ^ k); the sign of Z^k belongs to both
    push(OpKind::Turn, v, u ^ k, {instruction, -1, 0, -factor * word_sign(k), 0});
    phase(pivot, -1, 0, kPi / 2);
  }

  // exp(i theta) where the bits under `mask` have this value: phases about every word of Zs on the mask.
  void controlled_phase(u64 z, u64 mask, u64 value, int instruction, double factor) {
    const double share = 1.0 / static_cast<double>(one(std::popcount(mask)));
    for (u64 part = mask;; part = (part - 1) & mask) {
      const double s = is_odd(part & value) ? -share : share;
      phase(z ^ part, instruction, s * factor, 0);
      if (!part) break;
    }
  }

  // relabelling

  // i ^= x where bit `control` is set.
  void controlled_flip(int control, u64 x) {
    const std::size_t c = static_cast<std::size_t>(control);
    const bool absorbed = one(control) & lanes_ ? !(x & ~lanes_) : !(x & lanes_);
    if (!absorbed) {  // else phases would come to depend on lanes and groups at once
      Op op{OpKind::Move};
      op.flips = physical_flips(x);
      op.signs = signs_[c];
      op.even = is_odd(op.signs & offset_);
      out_.ops.push_back(op);
      return;
    }
    flips_[c] ^= physical_flips(x);
    for (u64 rest = x; rest; rest &= rest - 1) signs_[static_cast<std::size_t>(std::countr_zero(rest))] ^= signs_[c];
    done_.push_back({control, x});
    touched_ |= one(control) | x;
  }

  static Op move(int control, u64 x) {
    Op op{OpKind::Move};
    op.flips = x;
    op.signs = one(control);
    return op;
  }

  void flip(u64 x) {
    offset_ ^= physical_flips(x);
    touched_ |= x;
  }

  // Does what was left undone.
  void settle() {
    if (!touched_) return;
    u64 offset = offset_;
    for (const auto& [control, x] : done_) {
      out_.ops.push_back(move(control, x));
      if (offset & one(control)) offset ^= x;
    }
    if (offset) {
      Op op{OpKind::Move};
      op.flips = offset;
      op.even = true;
      out_.ops.push_back(op);
    }
    done_.clear();
    touched_ = offset_ = 0;
    for (int q = 0; q < source_.n_bits; ++q)
      flips_[static_cast<std::size_t>(q)] = signs_[static_cast<std::size_t>(q)] = one(q);
  }

  // groups

  void close(u64 bits) {
    for (; bits; bits &= bits - 1) {
      const std::size_t q = static_cast<std::size_t>(std::countr_zero(bits));
      if (q >= open_.size()) return;
      if (!open_[q].empty()) emit(one(static_cast<int>(q)), std::exchange(open_[q], {}));
    }
  }

  void emit(u64 bit, std::vector<int> members) {
    int turns = 0;
    bool matrix = false, trained = false;
    for (const int m : members) {
      const Instruction& in = source_.instructions[static_cast<std::size_t>(m)];
      const auto opcode = static_cast<Opcode>(in.opcode);
      turns += in.x_mask != 0;
      matrix = matrix || opcode == Opcode::Dense;
      trained = trained || in.slot >= 0;
      if (opcode == Opcode::Phase) phase(0, m, -1.0, 0);  // the part that turns no relative phase
      if (opcode == Opcode::Dense) {
        const Matrix2 u = matrix_of(in, source_.pool.data());
        phase(0, -1, 0, -std::arg(std::sqrt(u[0] * u[3] - u[1] * u[2])) * 2);
      }
    }
    if (turns < 2 && !matrix) {
      for (const int m : members) {
        const Instruction& in = source_.instructions[static_cast<std::size_t>(m)];
        if (in.x_mask)
          turn(in.x_mask, in.z_mask, m);
        else if (static_cast<Opcode>(in.opcode) == Opcode::Phase)
          phase(bit, m, in.ctrl_value ? 1.0 : -1.0, 0);
        else
          phase(bit, m, 1.0, 0);
      }
      return;
    }
    const u64 v = physical_flips(bit), u = physical_signs(bit);
    const int group = static_cast<int>(out_.groups.size());
    out_.groups.push_back({std::move(members), word_sign(u), trained});
    const double s = word_sign(u);
    push(OpKind::Phase, 0, u, {-1, group, 0, s, 0});
    push(OpKind::Turn, v, u, {-1, group, 1, s, 0}, trained);
    push(OpKind::Phase, 0, u, {-1, group, 2, s, 0});
  }

  // instructions

  void instruction(int index) {
    const Instruction& in = source_.instructions[static_cast<std::size_t>(index)];
    const int controls = std::popcount(in.ctrl_mask);
    switch (static_cast<Opcode>(in.opcode)) {
      case Opcode::Prepare:
        return;
      case Opcode::Phase:
        if (controls == 1) return collect(in.ctrl_mask, index);
        if (controls > kMaxPhaseControls) break;
        close_for(in);
        return controlled_phase(0, in.ctrl_mask, in.ctrl_value, index, -2.0);
      case Opcode::PauliRot:
        if (!controls && std::popcount(in.x_mask | in.z_mask) == 1) return collect(in.x_mask | in.z_mask, index);
        if (!in.x_mask && controls <= kMaxPhaseControls) {
          close_for(in);
          return controlled_phase(in.z_mask, in.ctrl_mask, in.ctrl_value, index, 1.0);
        }
        if (controls) break;
        close_for(in);
        return turn(in.x_mask, in.z_mask, index);
      case Opcode::Pauli:
        if (controls > 1 || (controls && in.z_mask)) break;
        close_for(in);
        if (controls) {
          controlled_flip(std::countr_zero(in.ctrl_mask), in.x_mask);
          if (!in.ctrl_value) flip(in.x_mask);
          return;
        }
        if (in.z_mask) {
          phase(in.z_mask, -1, 0, kPi);
          phase(0, -1, 0, -kPi);
        }
        if (std::popcount(in.x_mask & in.z_mask) & 3) phase(0, -1, 0, -kPi * std::popcount(in.x_mask & in.z_mask));
        return flip(in.x_mask);
      case Opcode::Swap:
        if (controls) break;
        close_for(in);
        {  // the first and the last go from high to low bits, which costs nothing
          const int high = std::max(in.t0, in.t1), low = std::min(in.t0, in.t1);
          controlled_flip(high, one(low));
          controlled_flip(low, one(high));
          controlled_flip(high, one(low));
        }
        return;
      case Opcode::Dense:
        if (in.k == 1 && !controls && is_unitary(matrix_of(in, source_.pool.data()))) return collect(in.x_mask, index);
        break;
      default:
        break;
    }
    close_for(in);
    Op op{OpKind::Gate};
    op.gate = index;
    op.footprint = footprint_of(in);
    op.fence = static_cast<Opcode>(in.opcode) == Opcode::Kraus && index < first_angle_;
    if (op.footprint.bits() & touched_) settle();
    out_.ops.push_back(op);
  }

  void collect(u64 bit, int index) {
    if (varies(index)) close(bit);
    open_[static_cast<std::size_t>(std::countr_zero(bit))].push_back(index);
    if (varies(index)) close(bit);
  }

  void close_for(const Instruction& in) { close(footprint_of(in).bits()); }

  void term(const Term& t) {
    Term out = t;
    out.x_mask = physical_flips(t.x_mask);
    out.z_mask = physical_signs(t.z_mask);
    const int change = std::popcount(out.x_mask & out.z_mask) - std::popcount(t.x_mask & t.z_mask);
    out_.terms.push_back(out);  // i^|x & z| may differ by a sign
    out_.term_signs.push_back(word_sign(out.z_mask) * (change & 2 ? -1 : 1));
  }

  Words& out_;
  const Source& source_;
  const u64 lanes_;
  const int apart_;                 // slots from here on have an angle for each lane
  int first_angle_ = -1;            // a KRAUS before it may have no inverse
  std::vector<u64> flips_, signs_;  // of X and Z on each logical bit, in physical bits
  u64 offset_ = 0, touched_ = 0;
  std::vector<std::pair<int, u64>> done_;
  std::vector<std::vector<int>> open_;
};

}  // namespace

Words::Words(const Source& source, int lane_bits, int spread_from) {
  if (lane_bits == 0 && spread_from < source.n_bits && spread_from > 0 && !starts_prepared(source)) {
    Rewriter rewriter(*this, source, lane_bits);
    rewriter.spread(spread_from);
    rewriter.run();
    if (std::none_of(ops.begin(), ops.end(),
                     [](const Op& op) { return op.kind == OpKind::Gate || op.kind == OpKind::Move; }))
      return;
    *this = Words();
  }
  Rewriter(*this, source, lane_bits).run();
}

}  // namespace ketgrad
