// Random programs for the engine's own test: every opcode, on low and high bits, under controls, trained or not.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>

#include "scalar.hpp"

namespace programs {

using scalar::Complex;
using scalar::Instruction;
using scalar::Opcode;
using scalar::Source;
using scalar::Term;
using scalar::u64;

// The same numbers with every library, unlike the distributions of <random>.
class Draw {
 public:
  explicit Draw(u64 seed) : bits_(seed) {}
  u64 below(u64 n) { return bits_() % n; }
  bool chance(double p) { return real(0, 1) < p; }
  double real(double low, double high) { return low + (high - low) * static_cast<double>(bits_() >> 11) * 0x1p-53; }

  // `count` different bits of those that are not in `taken`; fewer where there are not so many.
  u64 mask(int n_bits, int count, u64 taken = 0) {
    u64 out = 0;
    for (int left = n_bits - std::popcount(taken); count > 0 && left > 0; --count, --left) {
      u64 bit = 0;
      do bit = u64{1} << below(static_cast<u64>(n_bits));
      while (bit & (taken | out));
      out |= bit;
    }
    return out;
  }

 private:
  std::mt19937_64 bits_;
};

class Builder {
 public:
  Builder(Draw& draw, int n_bits) : draw_(draw) {
    out.n_bits = n_bits;
    out.n_shared = 3;
    out.n_per_sample = 2;
  }

  void gate(Opcode opcode) {
    Instruction in{};
    in.opcode = static_cast<std::uint8_t>(opcode);
    in.slot = -1;
    const int n = out.n_bits, k = 1 + static_cast<int>(draw_.below(3));
    switch (opcode) {
      case Opcode::Prepare:
        in.x_mask = draw_.mask(n, k);
        payload(in, in.x_mask);
        vector(u64{1} << in.k, true);
        break;
      case Opcode::Phase:
        angle(in);
        in.ctrl_mask = draw_.mask(n, k);
        in.ctrl_value = in.ctrl_mask & draw_.below(u64{1} << n);
        break;
      case Opcode::Pauli:
      case Opcode::PauliRot:
        in.x_mask = draw_.mask(n, k - 1);
        in.z_mask = draw_.mask(n, in.x_mask ? k - 1 : k);
        if (opcode == Opcode::PauliRot) angle(in);
        break;
      case Opcode::PairRot:
        in.x_mask = in.ctrl_mask = draw_.mask(n, k);
        in.z_mask = draw_.mask(n, k - 1, in.x_mask);
        in.ctrl_value = in.x_mask & draw_.below(u64{1} << n);
        angle(in);
        break;
      case Opcode::Swap:
        if (n < 2) return;
        in.x_mask = draw_.mask(n, 2);
        in.t0 = static_cast<std::uint8_t>(std::countr_zero(in.x_mask));
        in.t1 = static_cast<std::uint8_t>(std::bit_width(in.x_mask) - 1);
        break;
      case Opcode::Diag:
        in.z_mask = draw_.mask(n, k);
        payload(in, in.z_mask);
        vector(u64{1} << in.k, false);
        break;
      case Opcode::ExpDiag:
        in.z_mask = draw_.mask(n, k);
        payload(in, in.z_mask);
        for (u64 x = 0; x < u64{1} << in.k; ++x) out.pool.push_back(draw_.real(-1, 1));
        angle(in);
        break;
      case Opcode::Dense:
        in.x_mask = draw_.mask(n, k);
        payload(in, in.x_mask);
        for (const Complex& a : unitary(u64{1} << in.k)) push(a);
        break;
      case Opcode::Kraus:
        in.x_mask = draw_.mask(n, k);
        payload(in, in.x_mask);
        choice(in);
        break;
    }
    if (opcode != Opcode::Prepare && opcode != Opcode::Phase && opcode != Opcode::Kraus && draw_.chance(0.4)) {
      const u64 controls = draw_.mask(n, k, in.x_mask | in.z_mask | in.ctrl_mask);
      in.ctrl_mask |= controls;
      in.ctrl_value |= controls & draw_.below(u64{1} << n);
    }
    out.instructions.push_back(in);
  }

  void term() {
    const int n = out.n_bits;
    Term t{};
    t.x_mask = draw_.chance(0.5) ? 0 : draw_.mask(n, 1 + static_cast<int>(draw_.below(2)));
    t.z_mask = draw_.mask(n, static_cast<int>(draw_.below(4)));
    if (draw_.chance(0.2)) {
      t.ctrl_mask = draw_.mask(n, 1, t.x_mask | t.z_mask);
      t.ctrl_value = t.ctrl_mask & draw_.below(u64{1} << n);
    }
    out.terms.push_back(t);
  }

  Source out;

 private:
  void angle(Instruction& in) {
    in.offset = draw_.real(-3, 3);
    in.scale = draw_.real(-1.5, 1.5);
    if (draw_.chance(0.6)) in.slot = static_cast<std::int32_t>(draw_.below(5));
  }

  // Matrices and their inverses, unitary or nearly, the identity often the first; values of the slot may ask for more
  // than there are.
  void choice(Instruction& in) {
    in.t0 = static_cast<std::uint8_t>(1 + draw_.below(4));
    in.offset = draw_.real(0, in.t0);
    in.scale = draw_.real(-1.5, 1.5);
    if (draw_.chance(0.7)) in.slot = out.n_shared + static_cast<std::int32_t>(draw_.below(2));
    const u64 size = u64{1} << in.k;
    const double spread = draw_.chance(0.3) ? 0 : 0.03;
    std::vector<Complex> inverses;
    for (int m = 0; m < in.t0; ++m) {
      const bool identity = m == 0 && draw_.chance(0.5);
      std::vector<Complex> u = unitary(size);
      std::vector<double> d;
      for (u64 r = 0; r < size; ++r) d.push_back(identity ? 1 : draw_.real(1 - spread, 1 + spread));
      for (u64 e = 0; identity && e < size * size; ++e) u[e] = e / size == e % size;
      for (u64 e = 0; e < size * size; ++e) push(d[e / size] * u[e]);
      for (u64 e = 0; e < size * size; ++e) inverses.push_back(std::conj(u[e % size * size + e / size]) / d[e % size]);
    }
    for (const Complex& a : inverses) push(a);
  }

  void payload(Instruction& in, u64 mask) {
    in.k = static_cast<std::uint8_t>(std::popcount(mask));
    in.payload = static_cast<std::int32_t>(out.pool.size());
  }

  // Complex numbers of modulus 1, or of norm 1 together.
  void vector(u64 size, bool together) {
    std::vector<Complex> v;
    double norm = 0;
    for (u64 x = 0; x < size; ++x) {
      v.push_back(std::polar(together ? draw_.real(0.1, 1) : 1.0, draw_.real(-3, 3)));
      norm += std::norm(v.back());
    }
    for (const Complex& a : v) push(together ? a / std::sqrt(norm) : a);
  }

  // A reflection between two diagonals, row by row; now and then a real one.
  std::vector<Complex> unitary(u64 size) {
    const bool real = draw_.chance(0.3);
    std::vector<Complex> v, d, e, u;
    double norm = 0;
    for (u64 x = 0; x < size; ++x) {
      v.push_back(std::polar(draw_.real(0.1, 1), real ? 0 : draw_.real(-3, 3)));
      d.push_back(std::polar(1.0, real ? 0 : draw_.real(-3, 3)));
      e.push_back(std::polar(1.0, real ? 0 : draw_.real(-3, 3)));
      norm += std::norm(v.back());
    }
    for (u64 r = 0; r < size; ++r)
      for (u64 c = 0; c < size; ++c)
        u.push_back(d[r] * ((r == c ? 1.0 : 0.0) - 2.0 / norm * v[r] * std::conj(v[c])) * e[c]);
    return u;
  }

  void push(Complex a) {
    out.pool.push_back(a.real());
    out.pool.push_back(a.imag());
  }

  Draw& draw_;
};

// A program of at most `gates` instructions of a few opcodes, so that many of a kind meet.
inline Source program(Draw& draw, int n_bits, u64 gates) {
  Builder builder(draw, n_bits);
  if (draw.chance(0.2)) builder.gate(Opcode::Prepare);
  std::vector<Opcode> kinds;
  for (u64 k = 1 + draw.below(5); k > 0; --k) kinds.push_back(static_cast<Opcode>(1 + draw.below(9)));
  for (u64 left = draw.below(gates + 1); left > 0; --left) builder.gate(kinds[draw.below(kinds.size())]);
  for (u64 left = 1 + draw.below(draw.chance(0.3) ? 40 : 4); left > 0; --left) builder.term();
  return builder.out;
}

}  // namespace programs
