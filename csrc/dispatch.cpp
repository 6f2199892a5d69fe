#include "dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace ketgrad {

#if defined(KETGRAD_HAVE_NEON)
extern const Kernels kernels_neon;
#else
extern const Kernels kernels_baseline;
#endif
#if defined(KETGRAD_HAVE_AVX2)
extern const Kernels kernels_avx2;
#endif
#if defined(KETGRAD_HAVE_AVX512)
extern const Kernels kernels_avx512;
#endif
#if defined(KETGRAD_HAVE_LOWERED)
extern const Kernels kernels_lowered;
#endif

namespace {

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> out;
#if defined(KETGRAD_HAVE_NEON)
  out.push_back(&kernels_neon);
#else
  out.push_back(&kernels_baseline);
#endif
#if defined(KETGRAD_HAVE_AVX2) || defined(KETGRAD_HAVE_AVX512)
  __builtin_cpu_init();
#endif
#if defined(KETGRAD_HAVE_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
#if defined(KETGRAD_HAVE_LOWERED)
    out.push_back(&kernels_lowered);
#endif
    out.push_back(&kernels_avx2);
  }
#endif
#if defined(KETGRAD_HAVE_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
    out.push_back(&kernels_avx512);
#endif
  return out;
}

const Kernels& find(const std::string& name) {
  std::string known;
  for (const Kernels* k : available()) {
    if (name == k->name) return *k;
    known += (known.empty() ? "" : ", ") + std::string(k->name);
  }
  throw std::invalid_argument("instruction set must be one of " + known + " on this processor, got '" + name + "'");
}

std::atomic<const Kernels*>& current() {
  static std::atomic<const Kernels*> chosen = [] {
    const char* wanted = std::getenv("KETGRAD_ISA");
    return wanted && *wanted ? &find(wanted) : available().back();
  }();
  return chosen;
}

}  // namespace

bool processor_is_known() {
#if defined(KETGRAD_BASELINE_V2)
  __builtin_cpu_init();
  return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2") &&
         __builtin_cpu_supports("popcnt");
#else
  return true;
#endif
}

std::vector<std::string> available_isas() {
  std::vector<std::string> out;
  for (const Kernels* k : available()) out.emplace_back(k->name);
  return out;
}

const Kernels& kernels() { return *current().load(); }

void set_isa(const std::string& name) { current().store(&find(name)); }

}  // namespace ketgrad
