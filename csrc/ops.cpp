#include "ops.hpp"

#include "bits.hpp"

namespace ketgrad {

Footprint footprint_of(const Instruction& in) {
  Footprint f;
  switch (static_cast<Opcode>(in.opcode)) {
    case Opcode::Phase:
      f.looks = in.ctrl_mask;
      break;
    case Opcode::Pauli:
    case Opcode::PauliRot:
      f.flips = in.x_mask & ~in.z_mask;
      f.looks = (in.z_mask & ~in.x_mask) | in.ctrl_mask;
      f.mixes = in.x_mask & in.z_mask;
      break;
    case Opcode::Diag:
    case Opcode::ExpDiag:
      f.looks = in.z_mask | in.ctrl_mask;
      break;
    case Opcode::PairRot:
      f.mixes = in.x_mask;
      f.looks = (in.z_mask | in.ctrl_mask) & ~in.x_mask;
      break;
    case Opcode::Swap:
    case Opcode::Dense:
    case Opcode::Kraus:
    case Opcode::Prepare:
      f.mixes = in.x_mask;
      f.looks = in.ctrl_mask;
      break;
  }
  return f;
}

bool commute(const Op& a, const Op& b) {
  if (a.kind == OpKind::Gate && b.kind == OpKind::Gate) {
    const Footprint &f = a.footprint, &g = b.footprint;
    return !(f.flips & (g.looks | g.mixes)) && !(f.looks & (g.flips | g.mixes)) && !(f.mixes & g.bits());
  }
  if (a.kind == OpKind::Gate)
    return !(b.flips & (a.footprint.looks | a.footprint.mixes)) && !(b.signs & a.footprint.moved());
  if (b.kind == OpKind::Gate) return commute(b, a);
  const bool one_way = is_odd(a.flips & b.signs), other_way = is_odd(a.signs & b.flips);
  const bool split = a.full || b.full || a.kind == OpKind::Move || b.kind == OpKind::Move;
  return split ? !one_way && !other_way : one_way == other_way;
}

}  // namespace ketgrad
