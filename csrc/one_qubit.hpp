// Instructions of one qubit as 2x2 matrices.
#pragma once

#include <cmath>
#include <complex>

#include "instruction.hpp"

namespace ketgrad {

// A 2x2 matrix.
struct OneQubit {
  typedef std::complex<double> Complex;
  Complex entry[2][2] = {{1, 0}, {0, 1}};
};

inline OneQubit operator*(const OneQubit& a, const OneQubit& b) {
  OneQubit out;
  for (int r = 0; r < 2; ++r)
    for (int c = 0; c < 2; ++c) {  // by hand: operator* of std::complex looks for infinities
      const OneQubit::Complex p = a.entry[r][0], q = b.entry[0][c], s = a.entry[r][1], t = b.entry[1][c];
      out.entry[r][c] = {p.real() * q.real() - p.imag() * q.imag() + s.real() * t.real() - s.imag() * t.imag(),
                         p.real() * q.imag() + p.imag() * q.real() + s.real() * t.imag() + s.imag() * t.real()};
    }
  return out;
}

// An instruction of one qubit as a matrix.
inline OneQubit matrix_of(const Instruction& in, const double* pool, double angle) {
  OneQubit out;
  const bool x = in.x_mask != 0, z = in.z_mask != 0;
  switch (static_cast<Opcode>(in.opcode)) {
    case Opcode::Phase:
      out.entry[in.ctrl_value != 0][in.ctrl_value != 0] = {std::cos(angle), std::sin(angle)};
      break;
    case Opcode::Dense:
      for (int e = 0; e < 4; ++e) out.entry[e / 2][e % 2] = {pool[in.payload + 2 * e], pool[in.payload + 2 * e + 1]};
      break;
    default: {
      const bool turns = in.opcode == static_cast<int>(Opcode::PauliRot);
      const double c = turns ? std::cos(angle / 2) : 0.0, s = turns ? std::sin(angle / 2) : 1.0;
      const OneQubit::Complex i{0, 1}, by = turns ? OneQubit::Complex{0, -s} : OneQubit::Complex{1, 0};
      const OneQubit::Complex first = x && z ? by * -i : by, second = x && z ? by * i : z ? -by : by;
      if (x)
        out = {{{c, first}, {second, c}}};
      else
        out = {{{c + first, 0}, {0, c + second}}};
    }
  }
  return out;
}

// Whether all entries of its matrix are real, whatever the angle.
inline bool is_real(const Instruction& in, const double* pool) {
  switch (static_cast<Opcode>(in.opcode)) {
    case Opcode::Dense: {
      const double* p = pool + in.payload;
      return p[1] == 0 && p[3] == 0 && p[5] == 0 && p[7] == 0;
    }
    case Opcode::Pauli:
      return !(in.x_mask && in.z_mask);
    case Opcode::PauliRot:
      return in.x_mask && in.z_mask;
    default:
      return false;
  }
}

}  // namespace ketgrad
