#include "rotations.hpp"

#include <cmath>

namespace ketgrad {

using Complex = std::complex<double>;

Matrix2 times(const Matrix2& a, const Matrix2& b) {
  return {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3]};
}

Matrix2 dagger(const Matrix2& a) { return {std::conj(a[0]), std::conj(a[2]), std::conj(a[1]), std::conj(a[3])}; }

Matrix2 matrix_of(const Instruction& in, const double* pool) {
  const double* p = pool + in.payload;
  return {Complex{p[0], p[1]}, Complex{p[2], p[3]}, Complex{p[4], p[5]}, Complex{p[6], p[7]}};
}

Matrix2 special(const Instruction& in, const double* pool, double angle) {
  const double c = std::cos(angle / 2), s = std::sin(angle / 2);
  switch (static_cast<Opcode>(in.opcode)) {
    case Opcode::Phase: {  // of a single bit: a rotation about z and a phase, which is another op
      const double turn = in.ctrl_value ? -1 : 1;
      return {Complex{c, turn * s}, 0, 0, Complex{c, -turn * s}};
    }
    case Opcode::PauliRot:
      if (!in.x_mask) return {Complex{c, -s}, 0, 0, Complex{c, s}};
      if (!in.z_mask) return {c, Complex{0, -s}, Complex{0, -s}, c};
      return {c, -s, s, c};
    default: {
      Matrix2 m = matrix_of(in, pool);
      const Complex root = std::sqrt(m[0] * m[3] - m[1] * m[2]);
      for (Complex& x : m) x /= root;
      return m;
    }
  }
}

bool is_unitary(const Matrix2& m) {
  const Matrix2 p = times(m, dagger(m));
  return std::abs(p[0] - 1.0) < 1e-10 && std::abs(p[3] - 1.0) < 1e-10 && std::abs(p[1]) < 1e-10;
}

Euler euler(const Matrix2& u) {
  const double c = std::abs(u[0]), s = std::abs(u[2]);
  const double sum = c > 1e-14 ? -2 * std::arg(u[0]) : 0, difference = s > 1e-14 ? 2 * std::arg(u[2]) : 0;
  return {(sum - difference) / 2, 2 * std::atan2(s, c), (sum + difference) / 2};
}

Matrix2 rotation_z(double t) { return {std::polar(1.0, -t / 2), 0, 0, std::polar(1.0, t / 2)}; }

}  // namespace ketgrad
