// Python's arrays as the library's views. Everything here holds references to Python objects: under the GIL
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "mxfp4/base/context.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::python {

namespace nb = nanobind;

/// Bytes that the Python side hands over as it keeps them: numpy's, uint8, without gaps.
using Bytes = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

/// Somebody else's elements, and the reference that keeps them alive.
struct DenseArray {
  nb::ndarray<nb::ro, nb::device::cpu> array;
  DenseView view;
};

/// float32, float16 or bfloat16 of numpy, torch, or whatever speaks DLPack or the buffer protocol, with any
/// strides; never a copy. With `bf16` the elements are uint16 that hold bfloat16's bits: numpy gives arrays
/// of ml_dtypes.bfloat16 to nobody. `what` begins the message. Throws nb::type_error for what is no array in
/// this computer's memory, Error invalid_argument for another dtype.
DenseArray dense_array(std::string_view what, nb::handle object, bool bf16);

/// The shape of such an array, and "float32", "float16" or "bfloat16". Throws as dense_array().
nb::tuple described(std::string_view what, nb::handle object);

/// Memory to write `bytes` bytes to.
struct Output {
  nb::ndarray<nb::device::cpu, nb::c_contig> array;
  std::byte* data = nullptr;
};

/// Throws nb::type_error for what is no writable array without gaps, Error invalid_argument for another size.
Output output(std::string_view what, nb::handle object, std::size_t bytes);

/// "float32", "float16", "bfloat16". Throws Error invalid_argument for another name.
Dtype dtype_named(std::string_view what, std::string_view name);

/// Throws Error invalid_argument unless codes and scales have as many bytes as the shape asks for.
Mxfp4View mxfp4_view(std::string_view what, const Bytes& codes, const Bytes& scales, Shape shape,
                     int block_size);

/// A context of `threads` threads; 0: all that this process may use. On the device of that name; "": on the
/// one that MXFP4_DEVICE names.
Context context_of(int threads, std::string_view device = {});

/// Calls step(begin, end) without the GIL on ranges that make up [0, count), `most` of them at a time.
/// Between two of them Python sees its signals: that is how Ctrl-C ends a long call.
template <class Step>
void in_steps(std::int64_t count, std::int64_t most, const Step& step) {
  most = most < 1 ? 1 : most;
  for (std::int64_t begin = 0; begin < count; begin += most) {
    if (begin > 0 && PyErr_CheckSignals() != 0) throw nb::python_error();
    const nb::gil_scoped_release release;
    step(begin, count - begin < most ? count : begin + most);
  }
}

/// Elements that are worked on between two looks at signals: a fraction of a second on one core.
inline constexpr std::int64_t kStepElements = std::int64_t{1} << 26;

}  // namespace mxfp4::python
