// Matrices of one qubit: of the instructions that can be merged into one rotation, and the angles of that rotation.
#pragma once

#include <array>
#include <cmath>
#include <complex>

#include "instruction.hpp"

namespace ketgrad {

// Constants such as cos(pi/2) are meant to be 0; 6e-17 would leak into every amplitude.
inline double snap(double value) { return std::abs(value) < 1e-15 ? 0.0 : value; }

using Matrix2 = std::array<std::complex<double>, 4>;  // row-major

Matrix2 times(const Matrix2& a, const Matrix2& b);
Matrix2 dagger(const Matrix2& a);
Matrix2 rotation_z(double angle);

// The 2x2 matrix of a DENSE instruction.
Matrix2 matrix_of(const Instruction& instruction, const double* pool);
bool is_unitary(const Matrix2& m);

// The matrix of an instruction on one qubit, divided by the root of its determinant: PHASE of one bit, PAULI_ROT,
// DENSE.
Matrix2 special(const Instruction& instruction, const double* pool, double angle);

struct Euler {
  double angles[3];  // alpha, beta, gamma of Z(gamma) Y(beta) Z(alpha)
};

// Of a matrix of determinant 1, exactly: the product is the matrix, not its opposite.
Euler euler(const Matrix2& u);

}  // namespace ketgrad
