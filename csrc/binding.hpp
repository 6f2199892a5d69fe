// What the parts of the boundary share: array types, checks, and calls outside the GIL that let Ctrl-C through.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

#include "engine.hpp"

namespace ketgrad {

namespace py = pybind11;

using Doubles = py::array_t<double, py::array::c_style>;
using Indices = py::array_t<std::uint64_t, py::array::c_style>;
using Integers = py::array_t<std::int64_t, py::array::c_style>;
using Complexes = py::array_t<std::complex<double>, py::array::c_style>;

using MaybeArray = std::optional<py::array>;

struct Interrupted {};  // a Python signal handler raised; its error is set in this thread

// Only Python's main thread handles signals; any other has nothing to ask, and may be killed in the attempt when the
// interpreter exits. A forked child's main thread is the one that forked.
inline unsigned long main_thread = 0;
inline void after_fork_in_child() { main_thread = PyThread_get_thread_ident(); }

inline void poll_signals() {
  if (PyThread_get_thread_ident() != main_thread) return;
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw Interrupted{};
}

// Runs `work` without the GIL.
template <typename F>
void outside_gil(F work) {
  bool interrupted = false;
  {
    const py::gil_scoped_release release;
    try {
      work();
    } catch (const Interrupted&) {
      interrupted = true;
    }
  }
  if (interrupted) throw py::error_already_set();
}

inline void expect(bool holds, const char* rule) {
  if (!holds) throw std::invalid_argument(rule);
}

template <typename T>
std::vector<T> table(const py::array& array, const char* rule) {
  expect(array.ndim() == 1 && array.itemsize() == static_cast<py::ssize_t>(sizeof(T)) &&
             (array.flags() & py::array::c_style) != 0,
         rule);
  std::vector<T> out(static_cast<std::size_t>(array.shape(0)));
  if (!out.empty()) std::memcpy(out.data(), array.data(), out.size() * sizeof(T));
  return out;
}

inline Source source_of(const py::array& instructions, const Doubles& pool, const py::array& terms, int n_bits,
                        int n_shared, int n_per_sample) {
  Source out;
  out.instructions = table<Instruction>(instructions, "instructions are a contiguous array of 64-byte rows");
  out.terms = table<Term>(terms, "terms are a contiguous array of 32-byte rows");
  out.pool = table<double>(pool, "the pool is a contiguous array of float64");
  out.n_bits = n_bits;
  out.n_shared = n_shared;
  out.n_per_sample = n_per_sample;
  return out;
}

inline Batch batch_of(const Doubles& shared, const Doubles& per_sample, int n_shared, int n_per_sample) {
  expect(shared.ndim() == 1 && shared.shape(0) == n_shared, "shared slots have shape (n_shared,)");
  expect(per_sample.ndim() == 2 && per_sample.shape(1) == n_per_sample,
         "per-sample slots have shape (batch, n_per_sample)");
  return {shared.data(), per_sample.data(), static_cast<std::uint64_t>(per_sample.shape(0))};
}

}  // namespace ketgrad
