// Mixtures of experts: routers, experts, and both together.
#include "mxfp4/layer/experts.h"

#include <algorithm>
#include <new>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/load_mlp.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/layers_internal.h"

namespace mxfp4::python {
namespace {

/// Tokens between two looks at signals: as many as make reading all experts' weights again worth little.
constexpr std::int64_t kStepTokens = 2048;

using Ids = nb::ndarray<const std::int32_t, nb::c_contig, nb::device::cpu>;
using NewIds = nb::ndarray<std::int32_t, nb::c_contig, nb::device::cpu>;
using NewFloats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

/// Experts, alone or behind a router, and what they need.
template <class Layer>
struct Holder {
  Layer layer;
  Kept kept;
  int threads;
};
using ExpertsHolder = Holder<Experts>;
using MlpHolder = Holder<Mlp>;

/// Codes, scales, shape [E, N, K] and bias [E, N] of a projection.
using Stack = std::tuple<Bytes, Bytes, Shape, std::optional<Floats>>;

ExpertMatrices matrices_of(std::string_view what, const Stack& stack, std::vector<Bytes>& kept) {
  const auto& [codes, scales, shape, bias] = stack;
  DenseView bias_view;
  if (bias) {
    Shape sizes;
    for (std::size_t d = 0; d < bias->ndim(); ++d) sizes.push_back(static_cast<std::int64_t>(bias->shape(d)));
    bias_view = dense_view(bias->data(), Dtype::f32, std::move(sizes));
  }
  kept.push_back(codes);
  kept.push_back(scales);
  return stacked(mxfp4_view(what, codes, scales, shape, kBlockSize), bias_view);
}

/// One projection of gate and up, their rows alternating or one behind the other; or two.
ExpertsHolder make_experts(const std::vector<Stack>& gates, const Stack& down, bool interleaved, float alpha,
                           float beta, float limit, bool pack, int threads, std::string_view device) {
  ExpertWeights weights;
  Kept kept;
  weights.down = matrices_of("Experts: down", down, kept.bytes);
  if (gates.size() == 2) {
    weights.gate = matrices_of("Experts: gate", gates[0], kept.bytes);
    weights.up = matrices_of("Experts: up", gates[1], kept.bytes);
  } else {
    ExpertMatrices both = matrices_of("Experts: gate_up", gates.at(0), kept.bytes);
    const std::int64_t half = std::get<Shape>(gates[0]).at(1) / 2;
    if (interleaved) {
      weights.gate_up = std::move(both);
    } else {
      weights.gate = rows_of_each(both, 0, half);
      weights.up = rows_of_each(both, half, half);
    }
  }
  weights.unit = {GatedUnit{alpha, beta, limit}};
  const LayerOptions options = layer_options(pack, threads, device);
  auto experts = [&] {
    const nb::gil_scoped_release release;
    return Experts(weights, options);
  }();
  if (pack) kept = {};
  return {std::move(experts), std::move(kept), options.context.threads};
}

template <class Layer>
Holder<Layer> load(const CheckpointFile& file, std::int64_t number, bool pack, int threads,
                   std::string_view device, Layer (*loader)(const Checkpoint&, std::int64_t, LayerOptions)) {
  const LayerOptions options = layer_options(pack, threads, device);
  auto layer = [&] {
    const nb::gil_scoped_release release;
    return loader(*file.checkpoint, number, options);
  }();
  return {std::move(layer), {{}, pack ? nullptr : file.checkpoint}, options.context.threads};
}

void forward_experts(const ExpertsHolder& holder, nb::handle array, bool bf16, const Ids& ids,
                     const Floats& weights, nb::handle out, std::string_view activation) {
  const Experts& experts = holder.layer;
  const Tokens tokens = tokens_of("Experts", array, bf16, experts.hidden());
  const auto count = static_cast<std::size_t>(tokens.count);
  if (ids.ndim() != 2 || weights.ndim() != 2 || ids.shape(0) != count || weights.shape(0) != count ||
      ids.shape(1) != weights.shape(1) || ids.shape(1) == 0) {
    fail(ErrorCode::invalid_argument, "Experts: ids and weights must be [{}, top_k], one row for each token",
         count);
  }
  const Dtype dtype = tokens.x.view.dtype;
  const std::int64_t row_bytes = experts.hidden() * bits_of(dtype) / 8;
  const Output y = output("Experts: y", out, static_cast<std::size_t>(tokens.count * row_bytes));
  const ForwardOptions options{activation_named(activation), holder.threads};
  const auto top_k = static_cast<std::int64_t>(ids.shape(1));
  if (tokens.count == 0) return;
  in_steps(tokens.indices, kStepTokens / tokens.each(), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * tokens.each();
    const ExpertChoice choice{ids.data() + first * top_k, weights.data() + first * top_k,
                              static_cast<int>(top_k)};
    experts.forward(tokens.part(begin, end), choice, dtype, y.data + first * row_bytes, options);
  });
}

void forward_mlp(const MlpHolder& holder, nb::handle array, bool bf16, const std::optional<Ids>& token_ids,
                 nb::handle out, std::string_view activation) {
  const Mlp& mlp = holder.layer;
  const Tokens tokens = tokens_of("Mlp", array, bf16, mlp.experts().hidden());
  if (token_ids && token_ids->size() != static_cast<std::size_t>(tokens.count)) {
    fail(ErrorCode::invalid_argument, "Mlp: {} token ids for {} tokens", token_ids->size(), tokens.count);
  }
  const Dtype dtype = tokens.x.view.dtype;
  const std::int64_t row_bytes = mlp.experts().hidden() * bits_of(dtype) / 8;
  const Output y = output("Mlp: y", out, static_cast<std::size_t>(tokens.count * row_bytes));
  const ForwardOptions options{activation_named(activation), holder.threads};
  if (tokens.count == 0) return;
  in_steps(tokens.indices, kStepTokens / tokens.each(), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * tokens.each(), count = (end - begin) * tokens.each();
    std::span<const std::int32_t> ids;
    if (token_ids) ids = {token_ids->data() + first, static_cast<std::size_t>(count)};
    mlp.forward(tokens.part(begin, end), dtype, y.data + first * row_bytes, options, ids);
  });
}

RouterScore score_named(std::string_view name) {
  if (name == "softmax") return RouterScore::softmax;
  if (name == "sigmoid") return RouterScore::sigmoid;
  if (name == "sqrt_softplus") return RouterScore::sqrt_softplus;
  fail(ErrorCode::invalid_argument, "Router: score is '{}', none of softmax, sigmoid, sqrt_softplus", name);
}

Router make_router(nb::handle weight, bool weight_bf16, const std::optional<Floats>& bias, int top_k,
                   std::string_view score, bool renormalize, float factor,
                   const std::optional<Floats>& correction, int groups, int top_groups) {
  const DenseArray matrix = dense_array("Router: weight", weight, weight_bf16);
  DenseView bias_view;
  if (bias) bias_view = dense_view(bias->data(), Dtype::f32, {static_cast<std::int64_t>(bias->size())});
  RouterOptions options{top_k, score_named(score), renormalize, factor, {}, groups, top_groups};
  if (correction) options.correction.assign(correction->data(), correction->data() + correction->size());
  return Router(matrix.view, bias_view, std::move(options));
}

void route(const Router& router, nb::handle array, bool bf16, const NewIds& ids, const NewFloats& weights,
           int threads) {
  const Tokens tokens = tokens_of("Router", array, bf16, router.columns());
  const auto routes = static_cast<std::size_t>(tokens.count * router.top_k());
  if (ids.size() != routes || weights.size() != routes) {
    fail(ErrorCode::invalid_argument, "Router: {} ids and {} weights for {} routes", ids.size(),
         weights.size(), routes);
  }
  const int used = context_of(threads).threads;
  if (tokens.count == 0) return;
  in_steps(tokens.indices, kStepTokens / tokens.each(), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * tokens.each() * router.top_k();
    router.forward(tokens.part(begin, end), {ids.data() + first, weights.data() + first}, used);
  });
}

}  // namespace

void bind_experts(nb::module_& m) {
  nb::class_<ExpertsHolder>(m, "Experts")
      .def(
          "__init__",
          [](ExpertsHolder* self, const std::vector<Stack>& gates, const Stack& down, bool interleaved,
             float alpha, float beta, float limit, bool pack, int threads, std::string_view device) {
            new (self) ExpertsHolder(
                make_experts(gates, down, interleaved, alpha, beta, limit, pack, threads, device));
          },
          nb::arg("gates").noconvert(), nb::arg("down").noconvert(), nb::arg("interleaved"), nb::arg("alpha"),
          nb::arg("beta"), nb::arg("limit"), nb::arg("pack"), nb::arg("threads"), nb::arg("device"))
      .def_static(
          "load",
          [](const CheckpointFile& file, std::int64_t layer, bool pack, int threads,
             std::string_view device) {
            return load<Experts>(file, layer, pack, threads, device, &job::load_experts);
          },
          nb::arg("checkpoint"), nb::arg("layer"), nb::arg("pack"), nb::arg("threads"), nb::arg("device"))
      .def("forward", &forward_experts, nb::arg("x"), nb::arg("bf16"), nb::arg("ids").noconvert(),
           nb::arg("weights").noconvert(), nb::arg("y"), nb::arg("activation"))
      .def_prop_ro("count", [](const ExpertsHolder& holder) { return holder.layer.count(); })
      .def_prop_ro("hidden", [](const ExpertsHolder& holder) { return holder.layer.hidden(); })
      .def_prop_ro("intermediate", [](const ExpertsHolder& holder) { return holder.layer.intermediate(); })
      .def_prop_ro("memory", [](const ExpertsHolder& holder) { return holder.layer.memory(); });

  nb::class_<Router>(m, "Router")
      .def(
          "__init__",
          [](Router* self, nb::handle weight, bool bf16, const std::optional<Floats>& bias, int top_k,
             std::string_view score, bool renormalize, float factor, const std::optional<Floats>& correction,
             int groups, int top_groups) {
            new (self) Router(make_router(weight, bf16, bias, top_k, score, renormalize, factor, correction,
                                          groups, top_groups));
          },
          nb::arg("weight"), nb::arg("bf16"), nb::arg("bias").noconvert().none(), nb::arg("top_k"),
          nb::arg("score"), nb::arg("renormalize"), nb::arg("factor"),
          nb::arg("correction").noconvert().none(), nb::arg("groups"), nb::arg("top_groups"))
      .def_static(
          "load",
          [](const CheckpointFile& file, std::int64_t layer) {
            return job::load_router(*file.checkpoint, layer);
          },
          nb::arg("checkpoint"), nb::arg("layer"))
      .def("forward", &route, nb::arg("x"), nb::arg("bf16"), nb::arg("ids").noconvert(),
           nb::arg("weights").noconvert(), nb::arg("threads"))
      .def_prop_ro("experts", &Router::experts)
      .def_prop_ro("columns", &Router::columns)
      .def_prop_ro("top_k", &Router::top_k);

  nb::class_<MlpHolder>(m, "Mlp")
      .def_static(
          "load",
          [](const CheckpointFile& file, std::int64_t layer, bool pack, int threads,
             std::string_view device) {
            return load<Mlp>(file, layer, pack, threads, device, &job::load_mlp);
          },
          nb::arg("checkpoint"), nb::arg("layer"), nb::arg("pack"), nb::arg("threads"), nb::arg("device"))
      .def("forward", &forward_mlp, nb::arg("x"), nb::arg("bf16"), nb::arg("token_ids").none(), nb::arg("y"),
           nb::arg("activation"))
      .def_prop_ro("experts", [](const MlpHolder& holder) { return holder.layer.experts().count(); })
      .def_prop_ro("hidden", [](const MlpHolder& holder) { return holder.layer.experts().hidden(); })
      .def_prop_ro("intermediate",
                   [](const MlpHolder& holder) { return holder.layer.experts().intermediate(); })
      .def_prop_ro("top_k", [](const MlpHolder& holder) { return holder.layer.router().top_k(); })
      .def_prop_ro("memory", [](const MlpHolder& holder) { return holder.layer.memory(); });
}

}  // namespace mxfp4::python
