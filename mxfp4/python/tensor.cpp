// Quantise, dequantise, compare: arrays in, arrays out.
#include <algorithm>
#include <optional>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/base/error.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/recipe_internal.h"
#include "mxfp4/quantize/dequantize_chunks.h"
#include "mxfp4/quantize/quantize.h"
#include "mxfp4/quantize/tensor_error.h"

namespace mxfp4::python {
namespace {

std::uint8_t* bytes_at(const Output& output, std::int64_t offset) {
  return reinterpret_cast<std::uint8_t*>(output.data) + offset;
}

/// The dimension that is first in the result, if there is another one than `axis`: along it x can be cut.
std::optional<int> first_dimension(const DenseView& x, int axis) {
  if (x.rank() < 2) return std::nullopt;
  return axis == 0 || axis == -x.rank() ? 1 : 0;
}

void quantize(nb::handle array, bool bf16, nb::handle codes, nb::handle scales, int axis, int block_size,
              std::string_view preset, std::optional<std::string_view> scale, std::string_view nonfinite,
              const std::optional<Floats>& importance, const std::optional<Bytes>& reference, int threads,
              std::string_view device) {
  const DenseArray x = dense_array("quantize: x", array, bf16);
  QuantizeOptions options{.recipe = recipe_of(preset, scale, nonfinite),
                          .axis = axis,
                          .block_size = block_size,
                          .context = context_of(threads, device)};
  if (importance) options.importance = {importance->data(), importance->size()};
  const std::int64_t columns =
      x.view.shape.at(static_cast<std::size_t>(axis < 0 ? axis + x.view.rank() : axis));
  const std::int64_t blocks = columns / block_size + (columns % block_size != 0);
  const std::int64_t rows = columns == 0 ? 0 : x.view.elements() / columns;
  const Output code_bytes =
      output("quantize: codes", codes, static_cast<std::size_t>(rows * blocks * (block_size / 2)));
  const Output scale_bytes = output("quantize: scales", scales, static_cast<std::size_t>(rows * blocks));

  // Under an importance every scale is tried, which takes some 60 times as long.
  const std::int64_t most = importance ? kStepElements / 64 : kStepElements;
  const std::optional<int> cut = first_dimension(x.view, axis);
  if (!cut || x.view.elements() <= most) {
    if (reference) options.reference = reference->data();
    const nb::gil_scoped_release release;
    return quantize_into(x.view, bytes_at(code_bytes, 0), bytes_at(scale_bytes, 0), options);
  }
  const std::int64_t count = x.view.shape[static_cast<std::size_t>(*cut)];
  const std::int64_t scales_each = rows / count * blocks;
  const bool importance_each =
      importance && static_cast<std::int64_t>(importance->size()) == count * columns && x.view.rank() > 2;
  in_steps(count, most / (x.view.elements() / count), [&](std::int64_t begin, std::int64_t end) {
    QuantizeOptions part = options;
    const std::int64_t first = begin * scales_each;
    if (reference) part.reference = reference->data() + first;
    if (importance_each) {
      part.importance = options.importance.subspan(static_cast<std::size_t>(begin * columns),
                                                   static_cast<std::size_t>((end - begin) * columns));
    }
    try {
      quantize_into(x.view.slice(*cut, begin, end), bytes_at(code_bytes, first * (block_size / 2)),
                    bytes_at(scale_bytes, first), part);
    } catch (const Error&) {
      // The same again on all of x: the message then has the place in x of a non-finite element.
      if (reference) options.reference = reference->data();
      quantize_into(x.view, bytes_at(code_bytes, 0), bytes_at(scale_bytes, 0), options);
      throw;
    }
  });
}

/// `shape` is [..., K]. With `transposed` the result is [..., K, N].
void dequantize(const Bytes& codes, const Bytes& scales, const Shape& shape, int block_size,
                std::string_view dtype_name, nb::handle out, bool transposed, int threads,
                std::string_view device) {
  const Mxfp4View t = mxfp4_view("dequantize", codes, scales, shape, block_size);
  const Dtype dtype = dtype_named("dequantize: dtype", dtype_name);
  const Context context = context_of(threads, device);
  const std::int64_t element = bits_of(dtype) / 8;
  const Output target =
      output("dequantize: out", out, static_cast<std::size_t>(element_count(shape) * element));
  // Rows, or matrices to be turned.
  const std::int64_t unit_rows = transposed ? shape.at(shape.size() - 2) : 1;
  const std::int64_t units = unit_rows == 0 ? 0 : t.rows() / unit_rows;
  const std::int64_t unit_elements = unit_rows * t.columns();
  if (unit_elements == 0) return;
  in_steps(units, kStepElements / unit_elements, [&](std::int64_t begin, std::int64_t end) {
    Mxfp4View part = t;
    const std::int64_t first = begin * unit_rows * t.blocks_per_row();
    part.codes += first * (block_size / 2);
    part.scales += first;
    std::byte* const place = target.data + begin * unit_elements * element;
    if (transposed) {
      part.shape = {end - begin, unit_rows, t.columns()};
      dequantize_transposed(part, dtype, place, context);
    } else {
      part.shape = {end - begin, t.columns()};
      mxfp4::dequantize(part, dtype, place, context);
    }
  });
}

/// The errors of x against a tensor that was quantised along x's last dimension once `axis` is moved there.
nb::dict error_stats(nb::handle array, bool bf16, int axis, const Bytes& codes, const Bytes& scales,
                     const Shape& shape, int block_size, int threads) {
  DenseArray x = dense_array("error_stats: x", array, bf16);
  const Mxfp4View t = mxfp4_view("error_stats", codes, scales, shape, block_size);
  std::rotate(x.view.shape.begin() + axis, x.view.shape.begin() + axis + 1, x.view.shape.end());
  std::rotate(x.view.strides.begin() + axis, x.view.strides.begin() + axis + 1, x.view.strides.end());
  TensorError error;
  const std::int64_t first = t.shape.empty() ? 0 : t.shape[0];
  const bool cut = t.shape == x.view.shape && t.shape.size() > 1 && element_count(t.shape) > kStepElements;
  const std::int64_t each = cut ? element_count(t.shape) / first : 1;
  in_steps(cut ? first : 1, cut ? kStepElements / each : 1, [&](std::int64_t begin, std::int64_t end) {
    if (!cut) {
      error = tensor_error(x.view, t, {}, context_of(threads));
      return;
    }
    Mxfp4View part = t;
    part.shape[0] = end - begin;
    const std::int64_t blocks = t.blocks() / first * begin;
    part.codes += blocks * (block_size / 2);
    part.scales += blocks;
    error.add(tensor_error(x.view.slice(0, begin, end), part, {}, context_of(threads)));
  });
  nb::dict result;
  result["sqnr_db"] = error.sqnr_db();
  result["relative_error"] = error.relative_error();
  result["max_error"] = error.max_error;
  result["cosine"] = error.cosine();
  result["elements"] = error.elements;
  result["left_out"] = error.left_out;
  result["saturated"] = error.saturated;
  result["sign_flips"] = error.sign_flips;
  return result;
}

}  // namespace

void bind_tensor(nb::module_& m) {
  m.def("described", &described, nb::arg("what"), nb::arg("array").none());
  m.def("quantize", &quantize, nb::arg("x"), nb::arg("bf16"), nb::arg("codes"), nb::arg("scales"),
        nb::arg("axis"), nb::arg("block_size"), nb::arg("preset"), nb::arg("scale").none(),
        nb::arg("nonfinite"), nb::arg("importance").noconvert().none(),
        nb::arg("reference").noconvert().none(), nb::arg("threads"), nb::arg("device"));
  m.def("dequantize", &dequantize, nb::arg("codes").noconvert(), nb::arg("scales").noconvert(),
        nb::arg("shape"), nb::arg("block_size"), nb::arg("dtype"), nb::arg("out"), nb::arg("transposed"),
        nb::arg("threads"), nb::arg("device"));
  m.def("error_stats", &error_stats, nb::arg("x"), nb::arg("bf16"), nb::arg("axis"),
        nb::arg("codes").noconvert(), nb::arg("scales").noconvert(), nb::arg("shape"), nb::arg("block_size"),
        nb::arg("threads"));
}

}  // namespace mxfp4::python
