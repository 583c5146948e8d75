// Checkpoints: what they hold, and arrays over their mapped files.
#include "mxfp4/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstdint>
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

#include "mxfp4/base/parallel.h"
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
/// Where no array can lie over the file there are dtype and shape alone, and read_...() makes the elements:
/// of MXFP4 that is stored otherwise than it is shown (GGUF), and of another quantisation ("F32").
nb::tuple entry(nb::handle self, const std::string& name) {
  const Weight& weight = weight_of(nb::cast<const CheckpointFile&>(self), name);
  if (weight.other != nullptr) return nb::make_tuple("F32", weight.other->shape);
  if (!weight.is_quantized()) {
    return nb::make_tuple(to_string(weight.stored->dtype), weight.stored->shape,
                          bytes_of(*weight.stored, self));
  }
  const StoredBlocks& blocks = weight.quantized;
  if (!blocks.is_plain() || blocks.order != NibbleOrder::interleaved) {
    return nb::make_tuple("MXFP4", blocks.shape);
  }
  return nb::make_tuple("MXFP4", blocks.shape, bytes_of(*weight.stored, self),
                        bytes_of(*weight.scales, self));
}

/// Calls row(index) for all rows of a weight, on all processors.
template <class Row>
void each_row(std::int64_t rows, std::int64_t columns, const Row& row) {
  constexpr std::int64_t kPiece = 1 << 16;  // elements
  const std::int64_t piece = std::max<std::int64_t>(kPiece / std::max<std::int64_t>(columns, 1), 1);
  in_steps(rows, kStepElements / std::max<std::int64_t>(columns, 1),
           [&](std::int64_t begin, std::int64_t end) {
             const auto pieces = static_cast<std::size_t>((end - begin + piece - 1) / piece);
             parallel_for(Context(), pieces, [&](int, std::size_t index) {
               const std::int64_t first = begin + static_cast<std::int64_t>(index) * piece;
               for (std::int64_t r = first; r < std::min(first + piece, end); ++r) row(r);
             });
           });
}

/// Codes and scales of MXFP4 as they are shown, wherever and however they lie.
void read_blocks(const CheckpointFile& file, const std::string& name, nb::handle codes, nb::handle scales) {
  const StoredBlocks& blocks = weight_of(file, name).quantized;
  const auto bytes = static_cast<std::size_t>(blocks.blocks());
  const Output code_bytes = output(name, codes, bytes * (kBlockSize / 2));
  const Output scale_bytes = output(name, scales, bytes);
  const auto at = [](const Output& output, std::int64_t offset) {
    return reinterpret_cast<std::uint8_t*>(output.data) + offset;
  };
  each_row(blocks.rows(), blocks.columns(), [&](std::int64_t row) {
    const std::int64_t first = row * blocks.blocks_per_row();
    copy_row(blocks, row, at(code_bytes, first * (kBlockSize / 2)), at(scale_bytes, first));
  });
}

/// The elements of a weight in another quantisation than MXFP4, as float32.
void read_other(const CheckpointFile& file, const std::string& name, nb::handle elements) {
  const OtherCodes& other = *weight_of(file, name).other;
  const std::int64_t count = element_count(other.shape),
                     columns = other.shape.empty() ? 1 : other.shape.back();
  const Output out = output(name, elements, static_cast<std::size_t>(count) * sizeof(float));
  each_row(columns == 0 ? 0 : count / columns, columns, [&](std::int64_t row) {
    other.read(row, row + 1, 0, columns, reinterpret_cast<float*>(out.data) + row * columns);
  });
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
      .def("read_blocks", &read_blocks, nb::arg("name"), nb::arg("codes"), nb::arg("scales"))
      .def("read_other", &read_other, nb::arg("name"), nb::arg("elements"))
      .def("transposed", &transposed, nb::arg("name"))
      .def_prop_ro("convention",
                   [](const CheckpointFile& file) { return file.checkpoint->convention_name(); })
      .def_prop_ro("foreign", [](const CheckpointFile& file) { return file.checkpoint->foreign; })
      .def_prop_ro("config", [](const CheckpointFile& file) { return file.checkpoint->files.config; });
}

}  // namespace mxfp4::python
