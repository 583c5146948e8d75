// What this build can do, on this machine.
#include <string>

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/base/context.h"
#include "mxfp4/base/version.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/codec/scale_rule.h"
#include "mxfp4/python/arrays_internal.h"
#include "mxfp4/python/bindings_internal.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::python {
namespace {

/// Names and descriptions of a list.
nb::dict described(const auto& table) {
  nb::dict dict;
  for (const auto& row : table) dict[row.name] = row.description;
  return dict;
}

nb::dict info() {
  const Context context;
  nb::dict isas;
  for (const Isa isa : built_isas()) isas[to_string(isa)] = supported(isa);
  nb::dict result;
  result["version"] = version();
  result["machine"] = machine_name();
  result["features"] = machine_features();
  result["threads"] = context.threads;
  result["isa"] = to_string(context.isa);
  result["isas"] = isas;
  result["scale_rules"] = described(kScaleRules);
  result["presets"] = described(presets());
  result["formats"] = described(conventions());
  return result;
}

}  // namespace

void bind_info(nb::module_& m) {
  m.def("info", &info);
  m.def("version", &version);
}

}  // namespace mxfp4::python
