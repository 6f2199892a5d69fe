// Cosines and sines of half angles, of an instruction set's kernel and of the standard library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "programs.hpp"

namespace half_angles {

// Angles of every size, and those whose cosine or sine is meant to be 0.
inline std::vector<double> angles() {
  programs::Draw draw(7);
  std::vector<double> out{0.0, -0.0, 1e-300, -1e-17, 1e300, -1e18, 0x1p20, 0x1p20 - 1, -0x1p20, 1e7};
  for (int k = -200; k <= 200; ++k) {
    out.push_back(k * M_PI / 2);
    out.push_back(std::nextafter(k * M_PI / 2, 1e9));
  }
  for (int k = 0; k < 20'000; ++k) out.push_back(draw.real(-1, 1) * std::exp(draw.real(-5, 16)));
  while (out.size() % 8) out.push_back(1.0);
  return out;
}

// Of the instruction set in use.
inline bool agree(const std::string& isa) {
  const std::vector<double> given = angles();
  std::vector<double> c(given.size()), s(given.size());
  ketgrad::kernels().of<double>().half_angles(given.data(), given.size(), c.data(), s.data());
  double worst = 0;
  auto compare = [&](double found, double exact) {
    if (std::abs(exact) < 0.9e-15 ? found != 0 : found == 0 && std::abs(exact) > 1.1e-15) worst = 1;
    if (found != 0) worst = std::max(worst, std::abs(found - exact));
  };
  for (std::size_t k = 0; k < given.size(); ++k) {
    compare(c[k], std::cos(given[k] / 2));
    compare(s[k], std::sin(given[k] / 2));
  }
  std::vector<double> bad(8, 1.0), bad_c(8), bad_s(8);
  bad[3] = NAN;
  ketgrad::kernels().of<double>().half_angles(bad.data(), 8, bad_c.data(), bad_s.data());
  const bool kept = std::isnan(bad_c[3]) && std::isnan(bad_s[3]) && bad_c[2] == bad_c[4];
  const bool good = worst <= 4e-16 && kept;
  std::printf("%-16s half angles: %.1e from the standard library\n", isa.c_str(), worst);
  return good;
}

}  // namespace half_angles
