// Linear layers.
#include "mxfp4/layer/linear.h"

#include <new>
#include <optional>
#include <utility>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/load_linear.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/checkpoint_internal.h"

namespace mxfp4::python {
namespace {

/// Multiplications between two looks at signals: a fraction of a second on one core.
constexpr std::int64_t kStepProducts = std::int64_t{1} << 34;

Activation activation_named(std::string_view name) {
  if (name == "exact") return Activation::exact;
  if (name == "int8") return Activation::int8;
  if (name == "mxfp8") return Activation::mxfp8;
  fail(ErrorCode::invalid_argument, "Linear: activation is '{}', none of exact, int8, mxfp8", name);
}

/// A layer, and what holds its weight if that is used where it lies.
struct Layer {
  Linear linear;
  std::optional<Bytes> codes, scales;
  CheckpointPtr checkpoint;
  int threads;
};

LayerOptions options_of(bool pack, int threads) {
  LayerOptions options;
  options.pack = pack;
  options.context = context_of(threads);
  return options;
}

Layer make(const Bytes& codes, const Bytes& scales, std::int64_t rows, std::int64_t columns,
           const std::optional<Floats>& bias, bool pack, int threads) {
  const Mxfp4View view = mxfp4_view("Linear", codes, scales, {rows, columns}, kBlockSize);
  const LayerOptions options = options_of(pack, threads);
  const std::span<const float> values =
      bias ? std::span(bias->data(), bias->size()) : std::span<const float>();
  auto linear = [&] {
    const nb::gil_scoped_release release;
    return Linear(view, values, options);
  }();
  Layer layer{std::move(linear), {}, {}, {}, options.context.threads};
  if (!pack) {
    layer.codes = codes;
    layer.scales = scales;
  }
  return layer;
}

Layer load(const CheckpointFile& file, std::string_view name, bool pack, int threads) {
  const LayerOptions options = options_of(pack, threads);
  auto linear = [&] {
    const nb::gil_scoped_release release;
    return job::load_linear(*file.checkpoint, name, options);
  }();
  return {std::move(linear), {}, {}, pack ? nullptr : file.checkpoint, options.context.threads};
}

void forward(const Layer& layer, nb::handle array, bool bf16, nb::handle out, std::string_view activation) {
  const DenseArray x = dense_array("Linear: x", array, bf16);
  const Linear& linear = layer.linear;
  if (x.view.rank() == 0 || x.view.shape.back() != linear.columns()) {
    fail(ErrorCode::invalid_argument, "Linear: x has shape {}, but its last dimension must be {}",
         to_string(x.view.shape), linear.columns());
  }
  const std::int64_t tokens = linear.columns() == 0 ? 0 : x.view.elements() / linear.columns();
  const std::int64_t row_bytes = linear.rows() * bits_of(x.view.dtype) / 8;
  const Output y = output("Linear: y", out, static_cast<std::size_t>(tokens * row_bytes));
  const ForwardOptions options{activation_named(activation), layer.threads};
  const std::int64_t first = x.view.rank() > 1 ? x.view.shape[0] : 1;
  if (tokens == 0) return;
  const std::int64_t each = tokens / first;
  in_steps(first, kStepProducts / (each * linear.rows() * linear.columns() + 1),
           [&](std::int64_t begin, std::int64_t end) {
             const DenseView part = x.view.rank() > 1 ? x.view.slice(0, begin, end) : x.view;
             linear.forward(part, part.dtype, y.data + begin * each * row_bytes, options);
           });
}

}  // namespace

void bind_linear(nb::module_& m) {
  nb::class_<Layer>(m, "Linear")
      .def(
          "__init__",
          [](Layer* self, const Bytes& codes, const Bytes& scales, std::int64_t rows, std::int64_t columns,
             const std::optional<Floats>& bias, bool pack,
             int threads) { new (self) Layer(make(codes, scales, rows, columns, bias, pack, threads)); },
          nb::arg("codes").noconvert(), nb::arg("scales").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("bias").noconvert().none(), nb::arg("pack"), nb::arg("threads"))
      .def_static("load", &load, nb::arg("checkpoint"), nb::arg("name"), nb::arg("pack"), nb::arg("threads"))
      .def("forward", &forward, nb::arg("x"), nb::arg("bf16"), nb::arg("y"), nb::arg("activation"))
      .def_prop_ro("rows", [](const Layer& layer) { return layer.linear.rows(); })
      .def_prop_ro("columns", [](const Layer& layer) { return layer.linear.columns(); })
      .def_prop_ro("packed", [](const Layer& layer) { return layer.linear.packed(); })
      .def_prop_ro("memory", [](const Layer& layer) { return layer.linear.memory(); });
}

}  // namespace mxfp4::python
