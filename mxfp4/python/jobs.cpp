// Whole checkpoints: quantise one, and write tensors as one.
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/quantize_job.h"
#include "mxfp4/job/save_job.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/recipe_internal.h"
#include "mxfp4/python/run_job_internal.h"

namespace mxfp4::python {
namespace {

/// None where nothing was lost.
nb::object finite_or_none(double value) {
  return std::isfinite(value) ? nb::object(nb::float_(value)) : nb::none();
}

void put_stats(nb::dict& dict, const ErrorStats& stats) {
  dict["blocks"] = stats.blocks;
  dict["lossless_blocks"] = stats.lossless_blocks;
  dict["saturated"] = stats.saturated;
  dict["sqnr_db"] = finite_or_none(stats.sqnr_db());
}

nb::dict tensor_dict(const job::PlannedTensor& tensor, bool done) {
  nb::dict dict;
  dict["name"] = tensor.name;
  dict["action"] = tensor.quantized ? "quantized" : "kept";
  if (tensor.quantized) {
    dict["rule"] = info(tensor.recipe.scale).name;
  } else {
    dict["reason"] = tensor.reason;
  }
  dict["shape"] = nb::tuple(nb::cast(tensor.shape));
  if (tensor.quantized && done) put_stats(dict, tensor.stats);
  dict["bits_per_weight"] = finite_or_none(tensor.bits_per_weight);
  dict["bytes_in"] = tensor.bytes_in;
  dict["bytes_out"] = tensor.bytes_out;
  return dict;
}

/// The report under the names that `mxfp4 quantize --json` gives its parts.
nb::dict report_dict(const job::QuantizeReport& report, bool done) {
  nb::list tensors;
  std::size_t quantized = 0;
  for (const job::PlannedTensor& tensor : report.tensors) {
    tensors.append(tensor_dict(tensor, done));
    quantized += tensor.quantized;
  }
  nb::dict totals;
  totals["quantized"] = quantized;
  totals["kept"] = report.tensors.size() - quantized;
  totals["bytes_in"] = report.bytes_in;
  totals["bytes_out"] = report.bytes_out;
  totals["disk_needed"] = report.disk_needed;
  totals["disk_free"] = report.disk_free;
  if (quantized > 0) totals["bits_per_weight"] = finite_or_none(report.bits_per_weight());
  nb::dict result;
  result["format"] = report.format;
  result["tensors"] = tensors;
  if (done) {
    put_stats(totals, report.total());
    totals["median_sqnr_db"] = finite_or_none(report.median_sqnr_db());
    totals["seconds"] = report.seconds;
    totals["peak_memory_bytes"] = report.peak_memory;
    result["files"] = report.files;
  }
  result["totals"] = totals;
  result["left_behind"] = report.left_behind;
  return result;
}

using Path = std::filesystem::path;
using Strings = std::vector<std::string>;

nb::dict quantize_checkpoint(const Path& source, const Path& out, std::string_view preset,
                             std::optional<std::string_view> scale, std::string_view nonfinite,
                             const std::string& format, const Strings& include, const Strings& exclude,
                             const Strings& rules, const Path& reference, const Path& imatrix, bool card,
                             int threads, std::uint64_t max_memory, std::uint64_t max_shard, bool overwrite,
                             bool resume, bool dry_run, nb::handle progress) {
  job::QuantizeRequest request;
  request.in = source;
  request.out = out;
  request.format = format;
  request.recipe = recipe_of(preset, scale, nonfinite);
  request.include = include;
  request.exclude = exclude;
  for (const std::string& rule : rules) request.tensor_rules.push_back({rule, "--tensor"});
  request.reference = reference;
  request.imatrix = imatrix;
  request.card = card;
  request.options = job_options(threads, max_memory, max_shard, overwrite, resume);
  const job::QuantizeReport report = run_job(request.options, progress, [&] {
    return dry_run ? job::plan_quantize(request) : job::run_quantize(request);
  });
  return report_dict(report, !dry_run);
}

using Elements = nb::ndarray<nb::ro, nb::device::cpu>;

/// Elements as unsigned integers of the size of `dtype`, which is the file's name for what they are.
DenseView dense_view_of(const std::string& name, const std::string& dtype, const Elements& elements) {
  DenseView view;
  view.dtype = parse_dtype(dtype).value();
  if (elements.itemsize() * 8 != static_cast<std::size_t>(bits_of(view.dtype))) {
    fail(ErrorCode::invalid_argument, "'{}': {} in elements of {} bytes", name, dtype, elements.itemsize());
  }
  view.data = static_cast<const std::byte*>(elements.data());
  for (std::size_t d = 0; d < elements.ndim(); ++d) {
    view.shape.push_back(static_cast<std::int64_t>(elements.shape(d)));
    view.strides.push_back(elements.stride(d));
  }
  return view;
}

Strings save(const Path& out, const std::vector<std::tuple<std::string, Bytes, Bytes, Shape, int>>& quantized,
             const std::vector<std::tuple<std::string, std::string, Elements>>& dense,
             const std::string& convention, const std::string& config, bool overwrite, nb::handle progress) {
  job::SaveRequest request;
  request.out = out;
  for (const auto& [name, codes, scales, shape, block_size] : quantized) {
    request.tensors.push_back({name, {}, mxfp4_view(name, codes, scales, shape, block_size)});
  }
  for (const auto& [name, dtype, elements] : dense) {
    request.tensors.push_back({name, dense_view_of(name, dtype, elements), std::nullopt});
  }
  request.convention = convention;
  request.config = config;
  request.options.overwrite = overwrite;
  return run_job(request.options, progress, [&] { return job::run_save(request); }).files;
}

}  // namespace

void bind_jobs(nb::module_& m) {
  m.def("quantize_checkpoint", &quantize_checkpoint, nb::arg("source"), nb::arg("out"), nb::arg("preset"),
        nb::arg("scale").none(), nb::arg("nonfinite"), nb::arg("format"), nb::arg("include"),
        nb::arg("exclude"), nb::arg("rules"), nb::arg("reference"), nb::arg("imatrix"), nb::arg("card"),
        nb::arg("threads"), nb::arg("max_memory"), nb::arg("max_shard"), nb::arg("overwrite"),
        nb::arg("resume"), nb::arg("dry_run"), nb::arg("progress").none());
  m.def("save", &save, nb::arg("out"), nb::arg("quantized").noconvert(), nb::arg("dense").noconvert(),
        nb::arg("convention"), nb::arg("config"), nb::arg("overwrite"), nb::arg("progress").none());
}

}  // namespace mxfp4::python
