#include "mxfp4/job/load_linear.h"

#include <string>
#include <vector>

#include "mxfp4/job/give_back_internal.h"

namespace mxfp4::job {

Linear load_linear(const Checkpoint& checkpoint, std::string_view name, LayerOptions options) {
  check_readable(checkpoint);
  const std::string with_suffix = std::string(name) + ".weight";
  const bool suffix =
      checkpoint.find(std::string(name)) == nullptr && checkpoint.find(with_suffix) != nullptr;
  const Weight& weight = find_mxfp4(checkpoint, suffix ? with_suffix : std::string(name), 2);
  std::vector<float> bias;
  if (const Weight* const found = checkpoint.find(std::string(weight.module()) + ".bias")) {
    bias = vector_of(checkpoint, *found, weight.quantized.shape[0]);
  }
  std::vector<std::uint8_t> copy;
  return Linear(blocks_of(checkpoint, weight, !options.pack, copy), bias,
                giving_back(checkpoint, std::move(options)));
}

}  // namespace mxfp4::job
