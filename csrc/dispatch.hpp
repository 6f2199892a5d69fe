// Which instruction set's kernels run. The only place that asks the processor what it can do.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace ketgrad {

// Whether this processor can run what is compiled for any processor that the package supports. Where it cannot, call
// nothing else of the engine.
bool processor_is_known();

// Names of the kernel sets that were compiled and that this processor can run, the best last.
std::vector<std::string> available_isas();

// The kernels in use: KETGRAD_ISA if set, else the best available.
const Kernels& kernels();

// Use another set from now on. Throws std::invalid_argument for a set that is not available.
void set_isa(const std::string& name);

}  // namespace ketgrad
