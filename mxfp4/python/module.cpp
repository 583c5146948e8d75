// The extension module mxfp4._core: what Python cannot do itself. Users see mxfp4/__init__.py and its
// neighbours.
#include <nanobind/nanobind.h>

#include "mxfp4/base/error.h"
#include "mxfp4/python/bindings_internal.h"

namespace mxfp4::python {
namespace {

PyObject* exception_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::io:
    case ErrorCode::device:
      return PyExc_OSError;
    case ErrorCode::out_of_memory:
      return PyExc_MemoryError;
    case ErrorCode::interrupted:
      return PyExc_KeyboardInterrupt;
    case ErrorCode::invalid_argument:
    case ErrorCode::corrupt_file:
    case ErrorCode::unsupported:
      break;
  }
  return PyExc_ValueError;
}

NB_MODULE(_core, m) {
  m.doc() = "The C++ library, as the Python files of this package use it. Not for others: it changes freely.";
  nanobind::register_exception_translator([](const std::exception_ptr& exception, void*) {
    try {
      std::rethrow_exception(exception);
    } catch (const Error& error) {
      PyErr_SetString(exception_for(error.code()), error.what());
    }
  });
  bind_tensor(m);
  bind_linear(m);
  bind_experts(m);
  bind_checkpoint(m);
  bind_selection(m);
  bind_jobs(m);
  bind_convert(m);
  bind_info(m);
}

}  // namespace
}  // namespace mxfp4::python
