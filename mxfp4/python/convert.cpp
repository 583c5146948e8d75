// Whole checkpoints from one convention to another.
#include <string>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/convert_job.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/python/run_job_internal.h"

namespace mxfp4::python {
namespace {

using job::Conversion;
using Path = std::filesystem::path;

/// The report under the names that `mxfp4 convert --json` gives its parts.
nb::dict report_dict(const job::ConvertReport& report, bool done) {
  nb::list tensors;
  for (const job::ConvertedTensor& tensor : report.tensors) {
    nb::dict dict;
    dict["name"] = tensor.name;
    dict["action"] = action_name(tensor.conversion);
    dict["dtype"] = to_string(tensor.dtype);
    dict["shape"] = nb::tuple(nb::cast(tensor.shape));
    tensors.append(dict);
  }
  nb::dict totals;
  for (const Conversion conversion :
       {Conversion::moved, Conversion::reencoded, Conversion::kept, Conversion::expanded}) {
    totals[action_name(conversion)] = report.count(conversion);
  }
  totals["blocks"] = report.blocks;
  totals["bytes_in"] = report.bytes_in;
  totals["bytes_out"] = report.bytes_out;
  nb::dict result;
  result["ok"] = report.ok();
  result["from"] = report.from;
  result["format"] = report.format;
  result["tensors"] = tensors;
  result["totals"] = totals;
  result["disk_needed_bytes"] = report.disk_needed;
  result["left_behind"] = report.left_behind;
  if (!report.ok()) {
    nb::list inexact;
    for (const job::InexactBlocks& blocks : report.inexact) {
      nb::dict dict;
      dict["tensor"] = blocks.tensor;
      dict["blocks"] = blocks.blocks;
      dict["row"] = blocks.row;
      dict["block"] = blocks.block;
      dict["message"] = blocks.reason;
      inexact.append(dict);
    }
    result["inexact"] = inexact;
  }
  if (done) {
    totals["seconds"] = report.seconds;
    totals["peak_memory_bytes"] = report.peak_memory;
    result["files"] = report.files;
    result["verified"] = report.verified;
  }
  return result;
}

nb::dict convert_checkpoint(const Path& source, const Path& out, const std::string& format,
                            const std::string& from, bool verify, int threads, std::uint64_t max_memory,
                            std::uint64_t max_shard, bool overwrite, bool resume, bool dry_run,
                            nb::handle progress) {
  job::ConvertRequest request;
  request.in = source;
  request.out = out;
  request.format = format;
  request.from = from;
  request.verify = verify;
  request.options = job_options(threads, max_memory, max_shard, overwrite, resume);
  const job::ConvertReport report = run_job(request.options, progress, [&] {
    return dry_run ? job::plan_convert(request) : job::run_convert(request);
  });
  if (!dry_run && !report.ok()) {
    const job::InexactBlocks& first = report.inexact.front();
    fail(
        ErrorCode::unsupported,
        "{}: {} of {} weights cannot be {} exactly, and nothing was written. {}: {} blocks, the first in row "
        "{}, block {}: {}",
        out.native(), report.inexact.size(), report.count(Conversion::reencoded), format, first.tensor,
        first.blocks, first.row, first.block, first.reason);
  }
  return report_dict(report, !dry_run);
}

}  // namespace

void bind_convert(nb::module_& m) {
  m.def("convert_checkpoint", &convert_checkpoint, nb::arg("source"), nb::arg("out"), nb::arg("format"),
        nb::arg("from_"), nb::arg("verify"), nb::arg("threads"), nb::arg("max_memory"), nb::arg("max_shard"),
        nb::arg("overwrite"), nb::arg("resume"), nb::arg("dry_run"), nb::arg("progress").none());
}

}  // namespace mxfp4::python
