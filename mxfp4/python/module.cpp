// The extension module mxfp4._core: what Python cannot do itself. Users see mxfp4/__init__.py and its
// neighbours.
#include <string_view>

#include <nanobind/nanobind.h>

#include "mxfp4/base/error.h"
#include "mxfp4/python/bindings_internal.h"

namespace mxfp4::python {

namespace nb = nanobind;

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
  nb::register_exception_translator([](const std::exception_ptr& exception, void*) {
    try {
      std::rethrow_exception(exception);
    } catch (const Error& error) {
      // A message may name a file whose name is no UTF-8.
      const std::string_view said = error.what();
      const auto size = static_cast<Py_ssize_t>(said.size());
      const nb::object message = nb::steal(PyUnicode_DecodeUTF8(said.data(), size, "surrogateescape"));
      if (message.is_valid()) PyErr_SetObject(exception_for(error.code()), message.ptr());
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
