// Linear layers.
#include "mxfp4/layer/linear.h"

#include <new>
#include <optional>
#include <utility>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>

#include "mxfp4/job/load_linear.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/layers_internal.h"

namespace mxfp4::python {
namespace {

/// Multiplications between two looks at signals: a fraction of a second on one core.
constexpr std::int64_t kStepProducts = std::int64_t{1} << 34;

struct Layer {
  Linear linear;
  Kept kept;
  int threads;
};

Layer make(const Bytes& codes, const Bytes& scales, std::int64_t rows, std::int64_t columns,
           const std::optional<Floats>& bias, bool pack, int threads, std::string_view device) {
  const Mxfp4View view = mxfp4_view("Linear", codes, scales, {rows, columns}, kBlockSize);
  const LayerOptions options = layer_options(pack, threads, device);
  const std::span<const float> values =
      bias ? std::span(bias->data(), bias->size()) : std::span<const float>();
  auto linear = [&] {
    const nb::gil_scoped_release release;
    return Linear(view, values, options);
  }();
  Layer layer{std::move(linear), {}, options.context.threads};
  if (!pack) layer.kept.bytes = {codes, scales};
  return layer;
}

Layer load(const CheckpointFile& file, std::string_view name, bool pack, int threads,
           std::string_view device) {
  const LayerOptions options = layer_options(pack, threads, device);
  auto linear = [&] {
    const nb::gil_scoped_release release;
    return job::load_linear(*file.checkpoint, name, options);
  }();
  return {std::move(linear), {{}, pack ? nullptr : file.checkpoint}, options.context.threads};
}

void forward(const Layer& layer, nb::handle array, bool bf16, nb::handle out, std::string_view activation) {
  const Linear& linear = layer.linear;
  const Tokens tokens = tokens_of("Linear", array, bf16, linear.columns());
  const Dtype dtype = tokens.x.view.dtype;
  const std::int64_t row_bytes = linear.rows() * bits_of(dtype) / 8;
  const Output y = output("Linear: y", out, static_cast<std::size_t>(tokens.count * row_bytes));
  const ForwardOptions options{activation_named(activation), layer.threads};
  const std::int64_t products = tokens.each() * linear.rows() * linear.columns();
  if (tokens.count == 0) return;
  in_steps(tokens.indices, kStepProducts / (products + 1), [&](std::int64_t begin, std::int64_t end) {
    linear.forward(tokens.part(begin, end), dtype, y.data + begin * tokens.each() * row_bytes, options);
  });
}

}  // namespace

void bind_linear(nb::module_& m) {
  m.def(
      "check_activation", [](std::string_view name) { activation_named(name); }, nb::arg("name"));
  nb::class_<Layer>(m, "Linear")
      .def(
          "__init__",
          [](Layer* self, const Bytes& codes, const Bytes& scales, std::int64_t rows, std::int64_t columns,
             const std::optional<Floats>& bias, bool pack, int threads, std::string_view device) {
            new (self) Layer(make(codes, scales, rows, columns, bias, pack, threads, device));
          },
          nb::arg("codes").noconvert(), nb::arg("scales").noconvert(), nb::arg("rows"), nb::arg("columns"),
          nb::arg("bias").noconvert().none(), nb::arg("pack"), nb::arg("threads"), nb::arg("device"))
      .def_static("load", &load, nb::arg("checkpoint"), nb::arg("name"), nb::arg("pack"), nb::arg("threads"),
                  nb::arg("device"))
      .def("forward", &forward, nb::arg("x"), nb::arg("bf16"), nb::arg("y"), nb::arg("activation"))
      .def_prop_ro("rows", [](const Layer& layer) { return layer.linear.rows(); })
      .def_prop_ro("columns", [](const Layer& layer) { return layer.linear.columns(); })
      .def_prop_ro("packed", [](const Layer& layer) { return layer.linear.packed(); })
      .def_prop_ro("memory", [](const Layer& layer) { return layer.linear.memory(); });
}

}  // namespace mxfp4::python
