// The angles of words: of ops for those of instructions, and what members of a group take of its gradient.
#include "words.hpp"

namespace ketgrad {

using Complex = std::complex<double>;

std::vector<double> Words::evaluate(const Source& source, const std::vector<double>& of_instruction) const {
  std::vector<Euler> of_group;
  of_group.reserve(groups.size());
  for (const Group& g : groups) {
    Matrix2 u{1, 0, 0, 1};
    for (const int m : g.members)
      u = times(special(source.instructions[static_cast<std::size_t>(m)], source.pool.data(),
                        of_instruction[static_cast<std::size_t>(m)]),
                u);
    of_group.push_back(euler(u));
  }
  std::vector<double> out;
  out.reserve(angles.size());
  for (const Angle& a : angles) {
    const double from = a.group >= 0         ? of_group[static_cast<std::size_t>(a.group)].angles[a.part]
                        : a.instruction >= 0 ? of_instruction[static_cast<std::size_t>(a.instruction)]
                                             : 0.0;
    out.push_back(a.constant + a.factor * from);
  }
  return out;
}

std::vector<std::array<double, 3>> Words::shares(const Source& source, const std::vector<double>& of_instruction,
                                                 int group) const {
  const Group& g = groups[static_cast<std::size_t>(group)];
  std::vector<Matrix2> each;
  Matrix2 all{1, 0, 0, 1};
  for (const int m : g.members) {
    each.push_back(special(source.instructions[static_cast<std::size_t>(m)], source.pool.data(),
                           of_instruction[static_cast<std::size_t>(m)]));
    all = times(each.back(), all);
  }
  // a member's axis, carried past the members after it and back before Z(gamma)
  Matrix2 after = rotation_z(-euler(all).angles[2]);
  std::vector<std::array<double, 3>> out(g.members.size());
  for (std::size_t k = g.members.size(); k-- > 0; after = times(after, each[k])) {
    const Instruction& in = source.instructions[static_cast<std::size_t>(g.members[k])];
    if (in.slot < 0) continue;
    Matrix2 axis;
    double factor = 1;
    if (static_cast<Opcode>(in.opcode) == Opcode::Phase) {
      axis = {1, 0, 0, -1};
      factor = in.ctrl_value ? 1 : -1;
    } else if (!in.x_mask) {
      axis = {1, 0, 0, -1};
    } else if (!in.z_mask) {
      axis = {0, 1, 1, 0};
    } else {
      axis = {0, Complex{0, -1}, Complex{0, 1}, 0};
    }
    const Matrix2 r = times(times(after, axis), dagger(after));
    out[k] = {factor * r[2].real(), factor * g.sign * r[2].imag(), factor * g.sign * r[0].real()};
  }
  return out;
}

}  // namespace ketgrad
