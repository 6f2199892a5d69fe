// The boundary: numpy arrays in, numpy arrays out. With binding.hpp and shift_binding.hpp all that knows Python.
//
// It checks what memory safety needs (dtype, contiguity, lengths); users' mistakes are caught before, in Python.
// Every long call releases the GIL and lets Ctrl-C through.
#include <pthread.h>

#include <memory>

#include "anneal_binding.hpp"
#include "binding.hpp"
#include "buffer.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"
#include "planner.hpp"
#include "sampling.hpp"
#include "shift_binding.hpp"

using namespace ketgrad;

namespace {

class Plan {
 public:
  Plan(const py::array& instructions, const Doubles& pool, const py::array& terms, int n_bits, int n_shared,
       int n_per_sample, bool double_precision)
      : n_bits_(n_bits),
        n_shared_(n_shared),
        n_per_sample_(n_per_sample),
        double_(double_precision) {
    Source source = source_of(instructions, pool, terms, n_bits, n_shared, n_per_sample);
    n_terms_ = static_cast<py::ssize_t>(source.terms.size());
    engine_ = make_engine(std::move(source), double_precision);
  }

  py::tuple forward(const Doubles& shared, const Doubles& per_sample, bool keep, const MaybeArray& initial) const {
    const Batch batch = check(shared, per_sample, initial);
    Doubles values({static_cast<py::ssize_t>(batch.size), n_terms_});
    return py::make_tuple(values, run(batch, values.mutable_data(), nullptr, keep));
  }

  py::tuple states_and_tape(const Doubles& shared, const Doubles& per_sample, const MaybeArray& initial) const {
    const Batch batch = check(shared, per_sample, initial);
    Doubles values({static_cast<py::ssize_t>(batch.size), n_terms_});
    py::array out = new_states({static_cast<py::ssize_t>(batch.size)});
    return py::make_tuple(out, run(batch, values.mutable_data(), out.mutable_data(), true));
  }

  py::tuple pullback(const Doubles& shared, const Doubles& per_sample, const Doubles& cotangents, Tape* tape, bool each,
                     const MaybeArray& initial, const MaybeArray& bras, bool to_initial) const {
    const Batch batch = check(shared, per_sample, initial);
    const auto size = static_cast<py::ssize_t>(batch.size);
    expect(cotangents.ndim() == 3 && cotangents.shape(1) == size && cotangents.shape(2) == n_terms_,
           "cotangents have shape (sets, batch, terms)");
    const py::ssize_t sets = cotangents.shape(0);
    Doubles to_shared = each ? Doubles({sets, size, py::ssize_t{n_shared_}}) : Doubles({sets, py::ssize_t{n_shared_}});
    Doubles to_samples({sets, size, py::ssize_t{n_per_sample_}});
    const Cotangents from{cotangents.data(), bras ? states_of(*bras, {sets, size}) : nullptr,
                          static_cast<std::uint64_t>(sets)};
    py::object at_start = py::none();
    Pulled to{to_shared.mutable_data(), to_samples.mutable_data(), nullptr, each};
    if (to_initial) {
      py::array out = new_states({sets, size});
      to.initial = out.mutable_data();
      at_start = out;
    }
    outside_gil([&] { engine_->pullback(batch, from, tape, to, poll_signals); });
    return py::make_tuple(to_shared, to_samples, at_start);
  }

  py::array states(const Doubles& shared, const Doubles& per_sample, const MaybeArray& initial) const {
    const Batch batch = check(shared, per_sample, initial);
    py::array out = new_states({static_cast<py::ssize_t>(batch.size)});
    void* data = out.mutable_data();
    outside_gil([&] { engine_->states(batch, data, poll_signals); });
    return out;
  }

  py::dict choice(std::uint64_t batch_size) const {
    const ketgrad::Choice choice = engine_->choice(batch_size);
    py::list passes;
    for (const auto& f : choice.passes)
      passes.append(py::dict(py::arg("tile_bytes") = f.tile_bytes, py::arg("tiles") = f.tiles,
                             py::arg("visited") = f.visited, py::arg("turns") = f.turns,
                             py::arg("lane_turns") = f.lane_turns, py::arg("blocks") = f.blocks,
                             py::arg("layers") = f.layers, py::arg("phases") = f.phases,
                             py::arg("crossings") = f.crossings, py::arg("moves") = f.moves, py::arg("gates") = f.gates,
                             py::arg("varies") = f.varies, py::arg("whole") = f.whole));
    return py::dict(py::arg("mode") = choice.in_lanes ? "lanes" : "single", py::arg("lanes") = choice.lanes,
                    py::arg("lanes_us") = choice.lanes_us, py::arg("single_us") = choice.single_us,
                    py::arg("passes") = passes);
  }

 private:
  py::object run(const Batch& batch, double* values, void* states, bool keep) const {
    std::unique_ptr<Tape> tape;
    outside_gil([&] { tape = engine_->forward(batch, values, states, keep, poll_signals); });
    return tape ? py::cast(std::move(tape)) : py::none();
  }

  Batch check(const Doubles& shared, const Doubles& per_sample, const MaybeArray& initial) const {
    Batch out = batch_of(shared, per_sample, n_shared_, n_per_sample_);
    if (initial) {
      out.one_initial = initial->ndim() == 2 && initial->shape(0) == 1;
      out.initial = states_of(*initial, {out.one_initial ? 1 : per_sample.shape(0)});
    }
    return out;
  }

  py::dtype state_type() const {
    return double_ ? py::dtype::of<std::complex<double>>() : py::dtype::of<std::complex<float>>();
  }

  // Not initialised. Large ones are the engine's own memory, which comes back when the array goes: the pages of a new
  // one would take longer to clear than some circuits.
  py::array new_states(std::vector<py::ssize_t> shape) const {
    constexpr double kLarge = 1 << 20, kMost = 0x1p46;  // beyond it numpy may refuse
    shape.push_back(py::ssize_t{1} << n_bits_);
    double bytes = double_ ? 16 : 8;
    for (const py::ssize_t n : shape) bytes *= static_cast<double>(n);
    if (bytes < kLarge || bytes > kMost) return py::array(state_type(), shape);
    auto memory = std::make_unique<Buffer>(static_cast<std::size_t>(bytes));
    void* const data = memory->as<void>();
    const py::capsule owner(memory.get(), [](void* buffer) { delete static_cast<Buffer*>(buffer); });
    memory.release();
    return py::array(state_type(), shape, data, owner);
  }

  const void* states_of(const py::array& states, std::vector<py::ssize_t> shape) const {
    shape.push_back(py::ssize_t{1} << n_bits_);
    expect(states.dtype().equal(state_type()) && (states.flags() & py::array::c_style) != 0 &&
               std::vector<py::ssize_t>(states.shape(), states.shape() + states.ndim()) == shape,
           "states are contiguous, of the plan's dtype and of shape (..., batch, 2^n)");
    return states.data();
  }

  int n_bits_, n_shared_, n_per_sample_;
  bool double_;
  py::ssize_t n_terms_ = 0;
  std::unique_ptr<Engine> engine_;
};

// (rows, 2^n) complex64 or complex128, contiguous; calls f(pointer to reals, rows, n).
template <typename F>
void with_states(const py::array& states, F f) {
  expect(states.ndim() == 2 && (states.flags() & py::array::c_style) != 0, "states are a contiguous (rows, 2^n) array");
  const auto size = static_cast<std::uint64_t>(states.shape(1));
  expect(size >= 2 && (size & (size - 1)) == 0, "a state has 2^n amplitudes");
  const int n_bits = std::countr_zero(size);
  const auto rows = static_cast<std::uint64_t>(states.shape(0));
  if (py::isinstance<py::array_t<std::complex<double>>>(states))
    f(static_cast<const double*>(states.data()), rows, n_bits);
  else if (py::isinstance<py::array_t<std::complex<float>>>(states))
    f(static_cast<const float*>(states.data()), rows, n_bits);
  else
    throw std::invalid_argument("states are complex64 or complex128");
}

void check_bits(const std::vector<int>& bits, int n_bits) {
  std::uint64_t seen = 0;
  for (const int b : bits) {
    expect(b >= 0 && b < n_bits && !(seen >> b & 1), "bits are distinct and below n");
    seen |= std::uint64_t{1} << b;
  }
}

Doubles probabilities_of(const py::array& states, const std::vector<int>& bits) {
  Doubles out({states.ndim() == 2 ? states.shape(0) : 0, py::ssize_t{1} << std::min<std::size_t>(bits.size(), 62)});
  with_states(states, [&](auto* data, std::uint64_t rows, int n_bits) {
    check_bits(bits, n_bits);
    double* to = out.mutable_data();
    outside_gil([&] { probabilities(data, rows, n_bits, bits, to, poll_signals); });
  });
  return out;
}

void check_uniforms(const py::array& states, const Doubles& uniforms) {
  expect(uniforms.ndim() == 2 && states.ndim() == 2 && uniforms.shape(0) == states.shape(0),
         "uniforms have shape (rows, shots)");
}

Indices sample_of(const py::array& states, const Doubles& uniforms, const std::vector<int>& bits) {
  check_uniforms(states, uniforms);
  Indices out({uniforms.shape(0), uniforms.shape(1)});
  with_states(states, [&](auto* data, std::uint64_t rows, int n_bits) {
    check_bits(bits, n_bits);
    std::uint64_t* to = out.mutable_data();
    const double* u = uniforms.data();
    const auto shots = static_cast<std::uint64_t>(uniforms.shape(1));
    outside_gil([&] { sample(data, rows, n_bits, u, shots, bits, to, poll_signals); });
  });
  return out;
}

// (where each row starts, outcomes, counts)
py::tuple counts_of(const py::array& states, const Doubles& uniforms, const std::vector<int>& bits) {
  check_uniforms(states, uniforms);
  std::vector<Tally> tallies;
  with_states(states, [&](auto* data, std::uint64_t rows, int n_bits) {
    check_bits(bits, n_bits);
    const double* u = uniforms.data();
    const auto shots = static_cast<std::uint64_t>(uniforms.shape(1));
    outside_gil([&] { tallies = counts(data, rows, n_bits, u, shots, bits, poll_signals); });
  });
  py::array_t<std::int64_t> starts(static_cast<py::ssize_t>(tallies.size()) + 1);
  std::int64_t* start = starts.mutable_data();
  *start = 0;
  for (const Tally& t : tallies) {
    start[1] = start[0] + static_cast<std::int64_t>(t.outcomes.size());
    ++start;
  }
  Indices outcomes(static_cast<py::ssize_t>(*start));
  py::array_t<std::int64_t> numbers(static_cast<py::ssize_t>(*start));
  std::uint64_t* outcome = outcomes.mutable_data();
  std::int64_t* number = numbers.mutable_data();
  for (const Tally& t : tallies) {
    outcome = std::copy(t.outcomes.begin(), t.outcomes.end(), outcome);
    number = std::copy(t.counts.begin(), t.counts.end(), number);
  }
  return py::make_tuple(starts, outcomes, numbers);
}

py::dict layout() {
  py::dict fields, opcodes, out;
  fields["x_mask"] = offsetof(Instruction, x_mask);
  fields["z_mask"] = offsetof(Instruction, z_mask);
  fields["ctrl_mask"] = offsetof(Instruction, ctrl_mask);
  fields["ctrl_value"] = offsetof(Instruction, ctrl_value);
  fields["scale"] = offsetof(Instruction, scale);
  fields["offset"] = offsetof(Instruction, offset);
  fields["slot"] = offsetof(Instruction, slot);
  fields["payload"] = offsetof(Instruction, payload);
  fields["opcode"] = offsetof(Instruction, opcode);
  fields["k"] = offsetof(Instruction, k);
  fields["t0"] = offsetof(Instruction, t0);
  fields["t1"] = offsetof(Instruction, t1);
  fields["pad"] = offsetof(Instruction, pad);
  const char* names[] = {"PREPARE", "PHASE", "PAULI",    "PAULI_ROT", "PAIR_ROT",
                         "SWAP",    "DIAG",  "EXP_DIAG", "DENSE",     "KRAUS"};
  for (int i = 0; i < 10; ++i) opcodes[names[i]] = i;
  out["instruction"] = fields;
  out["itemsize"] = sizeof(Instruction);
  out["term_itemsize"] = sizeof(Term);
  out["opcodes"] = opcodes;
  return out;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  if (!processor_is_known())
    throw py::import_error(
        "the native core of ketgrad needs x86-64-v2 (SSE4.2, POPCNT), which this processor or virtual machine lacks; "
        "use KETGRAD_BACKEND=numba");
  main_thread = py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
  pthread_atfork(nullptr, nullptr, after_fork_in_child);
  m.doc() = "The native engine of ketgrad; see ketgrad.backends.native.";
  py::class_<Tape>(m, "Tape", "Final states kept for a pullback.");
  py::class_<Plan>(m, "Plan", "A compiled program.")
      .def(py::init<const py::array&, const Doubles&, const py::array&, int, int, int, bool>(), py::arg("instructions"),
           py::arg("pool"), py::arg("terms"), py::arg("n_bits"), py::arg("n_shared"), py::arg("n_per_sample"),
           py::arg("double_precision"))
      .def("forward", &Plan::forward, py::arg("shared").noconvert(), py::arg("per_sample").noconvert(), py::arg("keep"),
           py::arg("initial"))
      .def("pullback", &Plan::pullback, py::arg("shared").noconvert(), py::arg("per_sample").noconvert(),
           py::arg("cotangents").noconvert(), py::arg("tape").none(true), py::arg("each"), py::arg("initial"),
           py::arg("bras"), py::arg("to_initial"))
      .def("states", &Plan::states, py::arg("shared").noconvert(), py::arg("per_sample").noconvert(),
           py::arg("initial"))
      .def("states_and_tape", &Plan::states_and_tape, py::arg("shared").noconvert(), py::arg("per_sample").noconvert(),
           py::arg("initial"))
      .def("choice", &Plan::choice, py::arg("batch_size"));
  py::class_<ShiftPlan>(m, "ShiftPlan", "A compiled program whose angles are shifted one at a time.")
      .def(py::init<const py::array&, const Doubles&, const py::array&, int, int, int, bool>(), py::arg("instructions"),
           py::arg("pool"), py::arg("terms"), py::arg("n_bits"), py::arg("n_shared"), py::arg("n_per_sample"),
           py::arg("double_precision"))
      .def("values", &ShiftPlan::values, py::arg("shared").noconvert(), py::arg("per_sample").noconvert(),
           py::arg("instruction").noconvert(), py::arg("nodes").noconvert(), py::arg("shifts").noconvert(),
           py::arg("bundle").noconvert(), py::arg("weights").noconvert())
      .def("moments", &ShiftPlan::moments, py::arg("shared").noconvert(), py::arg("per_sample").noconvert(),
           py::arg("instruction").noconvert(), py::arg("nodes").noconvert(), py::arg("shifts").noconvert(),
           py::arg("bundle").noconvert(), py::arg("weights").noconvert(), py::arg("settings"),
           py::arg("shots").noconvert(), py::arg("uniforms").noconvert());
  py::class_<Spins>(m, "Spins", "Spins that interact, in whole units.")
      .def(py::init<const Ints32&, const Ints32&, const Ints32&, const Ints32&>(), py::arg("fields").noconvert(),
           py::arg("starts").noconvert(), py::arg("neighbours").noconvert(), py::arg("couplings").noconvert())
      .def("anneal", &Spins::anneal, py::arg("rates").noconvert(), py::arg("sweeps"), py::arg("narrow"),
           py::arg("seed"), py::arg("first"), py::arg("count"), py::arg("initial").noconvert())
      .def("anneal_paths", &Spins::anneal_paths, py::arg("steps").noconvert(), py::arg("slices"), py::arg("lines"),
           py::arg("measured"), py::arg("seed"), py::arg("first"), py::arg("count"), py::arg("initial").noconvert());
  m.def("probabilities", &probabilities_of, py::arg("states").noconvert(), py::arg("bits"));
  m.def("sample", &sample_of, py::arg("states").noconvert(), py::arg("uniforms").noconvert(), py::arg("bits"));
  m.def("counts", &counts_of, py::arg("states").noconvert(), py::arg("uniforms").noconvert(), py::arg("bits"));
  m.def("num_threads", &num_threads);
  m.def(
      "set_num_threads",
      [](int count) {
        expect(count >= 1 && count <= 256, "the number of threads is from 1 to 256");
        const py::gil_scoped_release release;
        set_num_threads(count);
      },
      py::arg("count"));
  m.def("available_isas", &available_isas);
  m.def("isa", [] { return std::string(kernels().name); });
  m.def("set_isa", &set_isa, py::arg("name"));
  m.def(
      "set_tiling",
      [](int row_bits, int tile_bits, int least_bits, int chunk_bits) {
        if (row_bits < 0 || tile_bits < row_bits || least_bits < 0 || least_bits > 64 || chunk_bits < 1)
          throw py::value_error("a tile has at least the bits of its rows, and no number of bits is negative");
        set_tiling({row_bits, std::min(tile_bits, 26), least_bits, std::min(chunk_bits, 40)});
      },
      py::arg("row_bits"), py::arg("tile_bits"), py::arg("least_bits"), py::arg("chunk_bits") = Tiling{}.chunk_bits,
      "Sizes of the tiles of plans that are made from now on, for tests; returns nothing.");
  m.def("tiling", [] {
    const Tiling t = tiling();
    return py::make_tuple(t.row_bits, t.tile_bits, t.least_bits, t.chunk_bits);
  });
  m.def("layout", &layout);
  m.def("build", [] { return KETGRAD_BUILD; }, "Compiler, its version, build type, flags given from outside.");
}
