#include "numbers.hpp"

#include <cmath>
#include <utility>

namespace ketgrad {

namespace {

constexpr double kLeastFactor = 0x1p-12;  // products of ket and bra stay far from overflow in single precision

template <typename Real>
std::array<Rotor<Real>, 2> rotors(const HalfAngle& t, double factor) {
  std::array<Rotor<Real>, 2> out;
  for (int sign = 0; sign < 2; ++sign)
    for (int l = 0; l < kLanes<Real>; ++l) {
      out[static_cast<std::size_t>(sign)].c[l] = static_cast<Real>(t.c * factor);
      out[static_cast<std::size_t>(sign)].s[l] = static_cast<Real>((sign ? -t.s : t.s) * factor);
    }
  return out;
}

// The numbers of a block, with t[r] the half angle of turn r. A scaled one takes tangents; another takes up the factor.
template <typename Real>
void fill_block(BlockAngles<Real>& out, const TileBlock& block, const HalfAngle* t, bool scaled, double factor) {
  out.scaled = scaled;
  for (std::size_t r = 0; r < block.ops.size(); ++r, factor = 1) {
    out.lost[r] = scaled ? t[r].c * t[r].c : 1 / (factor * factor);
    const double c = t[r].c * factor, s = scaled ? t[r].s / t[r].c : t[r].s * factor;
    for (int l = 0; l < kLanes<Real>; ++l) {
      out.c[r][l] = static_cast<Real>(c);
      out.s[r][l] = static_cast<Real>(s * lane_sign(l, block.lanes[r]));
    }
  }
}

}  // namespace

template <typename Real>
PassNumbers<Real>::PassNumbers(const TilePass<Real>& pass, const std::vector<Op>& ops,
                               const std::vector<HalfAngle>& halves, bool backwards, bool settle, double* factor)
    : blocks(pass.blocks.size()),
      turns(pass.turns.size()),
      factors(pass.stages.size(), 1.0),
      taken(pass.blocks.size(), 1.0) {
  auto of = [&](int op) { return halves[static_cast<std::size_t>(ops[static_cast<std::size_t>(op)].angle)]; };
  for (const TileLayer& layer : pass.layers) layers.emplace_back(layer, ops, halves);
  const std::size_t n = pass.stages.size();
  auto stage = [&](std::size_t k) { return backwards ? n - 1 - k : k; };
  std::size_t last = n;  // that can settle
  while (last > 0 && !pass.stages[stage(last - 1)].takes_factor()) --last;
  double left = factor ? *factor : 1.0;
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t s = stage(k), at = static_cast<std::size_t>(pass.stages[s].index);
    factors[s] = left;
    if (pass.stages[s].kind == OpKind::Phase) {
      layers[at].scale(std::exchange(left, 1.0));
    } else if (pass.stages[s].kind == OpKind::Turn && pass.stages[s].lanes) {
      turns[at] = rotors<Real>(of(pass.turns[at].op), std::exchange(left, 1.0));
    } else if (pass.stages[s].kind == OpKind::Turn) {
      std::array<HalfAngle, kBlockTurns> t;
      double product = 1;
      for (std::size_t r = 0; r < pass.blocks[at].ops.size(); ++r) {
        t[r] = of(pass.blocks[at].ops[r]);
        product *= std::abs(t[r].c);
      }
      const bool scaled =
          factor && !pass.blocks[at].varies && product * std::abs(left) >= kLeastFactor && !(settle && k + 1 == last);
      if (!scaled) taken[at] = std::exchange(left, 1.0);
      fill_block(blocks[at], pass.blocks[at], t.data(), scaled, taken[at]);
      if (!scaled) continue;
      for (std::size_t r = 0; r < pass.blocks[at].ops.size(); ++r) left *= t[r].c;
    }
  }
  if (factor) *factor = left;
}

template struct PassNumbers<float>;
template struct PassNumbers<double>;

}  // namespace ketgrad
