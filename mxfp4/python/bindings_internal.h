// What the extension module is made of: every file binds a part of it.
#pragma once

#include <nanobind/nanobind.h>

namespace mxfp4::python {

void bind_tensor(nanobind::module_& m);
void bind_linear(nanobind::module_& m);
void bind_experts(nanobind::module_& m);
void bind_checkpoint(nanobind::module_& m);
void bind_selection(nanobind::module_& m);
void bind_jobs(nanobind::module_& m);
void bind_convert(nanobind::module_& m);
void bind_info(nanobind::module_& m);

}  // namespace mxfp4::python
