// Checkpoints: what they hold, and arrays over their mapped files.
#include "mxfp4/checkpoint/checkpoint.h"

#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/checkpoint_internal.h"

namespace mxfp4::python {
namespace {

using FileBytes = nb::ndarray<nb::numpy, const std::uint8_t, nb::ndim<1>, nb::c_contig>;

void open(CheckpointFile* self, const std::filesystem::path& path, std::string_view convention) {
  const nb::gil_scoped_release release;
  new (self) CheckpointFile{std::make_shared<const Checkpoint>(open_checkpoint(path, convention))};
}

/// The bytes of a stored tensor in its mapped file, read-only. `owner` is what they keep alive.
FileBytes bytes_of(const StoredTensor& tensor, nb::handle owner) {
  return FileBytes(tensor.bytes.data(), {tensor.bytes.size()}, owner);
}

const Weight& weight_of(const CheckpointFile& file, const std::string& name) {
  const Weight* const weight = file.checkpoint->find(name);
  if (weight == nullptr) throw nb::key_error(name.c_str());
  return *weight;
}

/// (dtype as files name it, shape as stored, bytes), or for MXFP4 ("MXFP4", logical shape, codes, scales).
nb::tuple entry(nb::handle self, const std::string& name) {
  const Weight& weight = weight_of(nb::cast<const CheckpointFile&>(self), name);
  if (weight.is_quantized()) {
    return nb::make_tuple("MXFP4", weight.quantized.shape, bytes_of(*weight.stored, self),
                          bytes_of(*weight.scales, self));
  }
  return nb::make_tuple(to_string(weight.stored->dtype), weight.stored->shape,
                        bytes_of(*weight.stored, self));
}

/// Whether a dense weight is stored with its last two dimensions exchanged, [E, K, N].
bool transposed(const CheckpointFile& file, const std::string& name) {
  const Weight& weight = weight_of(file, name);
  return weight.dense.rank() > 1 && !weight.dense.contiguous();
}

std::vector<std::string> names(const CheckpointFile& file) {
  std::vector<std::string> names;
  for (const Weight& weight : file.checkpoint->weights) names.push_back(weight.name);
  return names;
}

}  // namespace

void bind_checkpoint(nb::module_& m) {
  nb::class_<CheckpointFile>(m, "Checkpoint")
      .def("__init__", &open, nb::arg("path"), nb::arg("convention"))
      .def("names", &names)
      .def("entry", &entry, nb::arg("name"))
      .def("transposed", &transposed, nb::arg("name"))
      .def_prop_ro("convention",
                   [](const CheckpointFile& file) { return file.checkpoint->convention_name(); })
      .def_prop_ro("foreign", [](const CheckpointFile& file) { return file.checkpoint->foreign; })
      .def_prop_ro("config", [](const CheckpointFile& file) { return file.checkpoint->files.config; });
}

}  // namespace mxfp4::python
