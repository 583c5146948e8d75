// Which layers of a model in memory are quantised: as of one in files.
#include "mxfp4/checkpoint/selection.h"

#include <string>
#include <vector>

#include <nanobind/stl/string.h>

#include "mxfp4/checkpoint/pattern.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"

namespace mxfp4::python {
namespace {

bool matches(const std::string& pattern, const std::string& name) {
  return Pattern(pattern).matches(name);
}

/// Why the weight [rows, columns] of that Linear layer is left alone by default; empty if it is quantised.
std::string keep_reason(const std::string& module, std::int64_t rows, std::int64_t columns) {
  StoredTensor stored;
  stored.dtype = Dtype::f32;
  Weight weight;
  weight.name = module + ".weight";
  weight.stored = &stored;
  weight.dense.shape = {rows, columns};
  weight.dense.strides = {columns, 1};
  Checkpoint checkpoint;
  checkpoint.config.model_type = "torch";  // its Linear layers are no Conv1D, whatever they are called
  return default_keep_reason(checkpoint, weight);
}

}  // namespace

void bind_selection(nb::module_& m) {
  m.def("matches", &matches, nb::arg("pattern"), nb::arg("name"));
  m.def("keep_reason", &keep_reason, nb::arg("module"), nb::arg("rows"), nb::arg("columns"));
}

}  // namespace mxfp4::python
