#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "mxfp4/base/context.h"
#include "mxfp4/base/fail_internal.h"
#include "mxfp4/python/arrays_internal.h"

namespace mxfp4::python {
namespace {

[[noreturn]] void fail_type(const std::string& message) {
  throw nb::type_error(message.c_str());
}

std::string name_of_type(nb::handle object) {
  return nb::cast<std::string>(nb::str(object.type()));
}

// The name that numpy and torch give it, as far as a message needs it.
std::string shown(const nb::dlpack::dtype& dtype) {
  constexpr const char* kCodes[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  if (dtype.code >= std::size(kCodes)) return fmt::format("of DLPack's code {}", dtype.code);
  return fmt::format("{}{}", kCodes[dtype.code], dtype.bits);
}

}  // namespace

DenseArray dense_array(std::string_view what, nb::handle object, bool bf16) {
  DenseArray result;
  if (!nb::try_cast(object, result.array, false)) {
    fail_type(fmt::format("{} is no array in this computer's memory, but {}", what, name_of_type(object)));
  }
  const auto& array = result.array;
  DenseView& view = result.view;
  const nb::dlpack::dtype dtype = array.dtype();
  if (bf16 || dtype == nb::dlpack::dtype{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bfloat), 16, 1}) {
    view.dtype = Dtype::bf16;
  } else if (dtype == nb::dtype<float>()) {
    view.dtype = Dtype::f32;
  } else if (dtype == nb::dlpack::dtype{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1}) {
    view.dtype = Dtype::f16;
  } else {
    fail(ErrorCode::invalid_argument, "{} is {}, none of float32, float16, bfloat16", what, shown(dtype));
  }
  view.data = static_cast<const std::byte*>(array.data());
  for (std::size_t d = 0; d < array.ndim(); ++d) {
    view.shape.push_back(static_cast<std::int64_t>(array.shape(d)));
    view.strides.push_back(array.stride(d));
  }
  return result;
}

nb::tuple described(std::string_view what, nb::handle object) {
  const DenseView view = dense_array(what, object, false).view;
  const char* const dtype = view.dtype == Dtype::f32   ? "float32"
                            : view.dtype == Dtype::f16 ? "float16"
                                                       : "bfloat16";
  return nb::make_tuple(nb::tuple(nb::cast(view.shape)), dtype);
}

Output output(std::string_view what, nb::handle object, std::size_t bytes) {
  Output result;
  if (!nb::try_cast(object, result.array, false)) {
    fail_type(fmt::format("{} is no writable array without gaps in this computer's memory, but {}", what,
                          name_of_type(object)));
  }
  if (result.array.nbytes() != bytes) {
    fail(ErrorCode::invalid_argument, "{} has {} bytes, but must have {}", what, result.array.nbytes(),
         bytes);
  }
  result.data = static_cast<std::byte*>(result.array.data());
  return result;
}

Dtype dtype_named(std::string_view what, std::string_view name) {
  if (name == "float32") return Dtype::f32;
  if (name == "float16") return Dtype::f16;
  if (name == "bfloat16") return Dtype::bf16;
  fail(ErrorCode::invalid_argument, "{} is '{}', none of float32, float16, bfloat16", what, name);
}

Mxfp4View mxfp4_view(std::string_view what, const Bytes& codes, const Bytes& scales, Shape shape,
                     int block_size) {
  if (block_size != 32 && block_size != 16) {
    fail(ErrorCode::invalid_argument, "{}: block_size is {}, neither 32 nor 16", what, block_size);
  }
  if (!byte_size(Dtype::f32, shape)) {
    fail(ErrorCode::invalid_argument, "{}: a size of {} is negative, or the product overflows", what,
         to_string(shape));
  }
  Mxfp4View view{codes.data(), scales.data(), std::move(shape), block_size};
  if (static_cast<std::int64_t>(codes.size()) != view.code_bytes() ||
      static_cast<std::int64_t>(scales.size()) != view.scale_bytes()) {
    fail(ErrorCode::invalid_argument,
         "{}: {} code bytes and {} scales, but shape {} in blocks of {} has {} and {}", what, codes.size(),
         scales.size(), to_string(view.shape), block_size, view.code_bytes(), view.scale_bytes());
  }
  return view;
}

Context context_of(int threads, std::string_view device) {
  if (threads < 0) fail(ErrorCode::invalid_argument, "threads is {}, below 0", threads);
  Context context;
  if (!device.empty()) context.device = parse_device(device);
  if (threads > 0) context.threads = std::min(threads, context.threads);
  return context;
}

}  // namespace mxfp4::python
