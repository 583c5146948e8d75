// A whole checkpoint from one convention to another, without touching a value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/job/progress.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {

struct ConvertRequest {
  std::filesystem::path in, out;  ///< both directories, or both .safetensors files
  std::string format;             ///< what to write: a name of convert_formats()
  std::string from;               ///< how IN is stored, where its files leave that open; may be empty
  bool verify = true;             ///< read OUT back and compare it with IN, block by block
  Options options;
};

/// How a tensor of OUT comes about.
enum class Conversion : std::uint8_t {
  moved,      ///< codes and scales of MXFP4 weights, as they are
  reencoded,  ///< the same values in another quantisation
  kept,       ///< the numbers of a weight that is not quantised
  expanded,   ///< a weight in another quantisation, which OUT does not have, as BF16
};
const char* action_name(Conversion conversion) noexcept;

struct ConvertedTensor {
  std::string name;  ///< in OUT, of the codes if it is MXFP4
  Conversion conversion = Conversion::kept;
  Dtype dtype = Dtype::u8;  ///< in OUT
  Shape shape;              ///< elements
};

/// Blocks of a weight that OUT's quantisation does not hold exactly.
struct InexactBlocks {
  std::string tensor;  ///< the weight, by its name when dense
  std::uint64_t blocks = 0;
  std::int64_t row = 0, block = 0;  ///< the first: the row in OUT, and which 32 of its elements
  std::string reason;               ///< why it is not held, with the values
};

struct ConvertReport {
  std::string from, format;
  std::vector<ConvertedTensor> tensors;
  std::vector<InexactBlocks> inexact;            ///< if there are any, nothing is written
  std::uint64_t blocks = 0;                      ///< of 32, moved or encoded anew
  std::uint64_t bytes_in = 0, bytes_out = 0;     ///< of all tensors
  std::uint64_t disk_needed = 0, disk_free = 0;  ///< bytes; the preflight
  std::vector<std::string> files;                ///< written under OUT
  std::vector<std::string> left_behind;          ///< files of IN that are not copied, with the reason
  bool verified = false;
  double seconds = 0;
  std::uint64_t peak_memory = 0;  ///< bytes of anonymous memory

  bool ok() const noexcept { return inexact.empty(); }
  std::uint64_t count(Conversion conversion) const noexcept;
};

/// The names that ConvertRequest::format may have.
std::vector<std::string> convert_formats();

/// Decides everything and writes nothing; for `fp8` and `nvfp4` every block is read. Throws Error
/// unsupported, with the reason, if the format cannot hold the model; invalid_argument if IN is stored so
/// already or its convention must be asked for; what plan_quantize throws of IN and OUT.
ConvertReport plan_convert(const ConvertRequest& request);

/// Plans and does it. OUT appears whole or not at all, and with `verify` only if every block and every number
/// in it is IN's. Nothing is written if the report is not ok(). The bytes depend on nothing but IN and the
/// formats. Throws also what run_quantize throws; unsupported for a number that the dtype of OUT does not
/// hold exactly.
ConvertReport run_convert(const ConvertRequest& request);

}  // namespace mxfp4::job
