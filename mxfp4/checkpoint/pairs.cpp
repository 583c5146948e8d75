#include <algorithm>

#include "mxfp4/checkpoint/pairs_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kBlockBytes = kBlockSize / 2;
constexpr std::int64_t kMaxColumns = std::int64_t{1} << 40;

// "model-00001-of-00003.safetensors: tensor 'x'"
std::string place(const ModelFiles& files, const StoredTensor& tensor) {
  return fmt::format("{}: tensor '{}'", files.file_of(tensor), tensor.name);
}

std::string module_of(const StoredTensor& tensor, std::string_view suffix) {
  return tensor.name.substr(0, tensor.name.size() - suffix.size());
}

// Two conventions may share their suffixes; the codes' own dimension of 16 bytes tells them apart.
const Convention* convention_of(const Convention& named, const StoredTensor& codes,
                                const StoredTensor& scales) {
  const CodeShape code_shape =
      codes.shape.size() == scales.shape.size() + 1 ? CodeShape::blocks : CodeShape::bytes;
  for (const Convention& convention : conventions()) {
    if (convention.codes_suffix == std::string_view(named.codes_suffix) &&
        convention.code_shape == code_shape) {
      return &convention;
    }
  }
  return &named;
}

// Conventions that share their suffixes are looked for once.
bool repeats_suffix(const Convention& convention) {
  const Convention* const first = conventions().data();
  return std::any_of(first, &convention, [&](const Convention& other) {
    return other.codes_suffix == std::string_view(convention.codes_suffix);
  });
}

// Whether codes and scales make a pair.
bool check_pair(const ModelFiles& files, const Convention& convention, const StoredTensor& codes,
                const StoredTensor& scales, Problems* problems) {
  for (const StoredTensor* const tensor : {&codes, &scales}) {
    if (tensor->dtype == Dtype::u8) continue;
    report(problems, ProblemKind::dtype, tensor->name, "{}: dtype {}, but {} stores codes and scales as U8",
           place(files, *tensor), to_string(tensor->dtype), convention.name);
    return false;
  }
  const bool own_dimension = convention.code_shape == CodeShape::blocks;
  Shape blocks = codes.shape;  // what the scales must have
  bool fits = !blocks.empty() && blocks.back() % kBlockBytes == 0;
  if (fits) blocks.back() /= kBlockBytes;
  if (fits && own_dimension) {
    fits = blocks.back() == 1;
    blocks.pop_back();
  }
  // K is counted in elements: 32 times as many as blocks, and these must still be countable.
  fits = fits && !blocks.empty() && blocks == scales.shape && blocks.back() <= kMaxColumns / kBlockSize;
  if (fits) {
    blocks.back() *= kBlockSize;
    fits = byte_size(Dtype::f64, blocks).has_value();
  }
  if (!fits) {
    report(problems, ProblemKind::shape, codes.name, "{}: shape {} does not fit that of its scales '{}', {}",
           place(files, codes), to_string(codes.shape), scales.name, to_string(scales.shape));
  }
  return fits;
}

}  // namespace

Pairs find_pairs(const ModelFiles& files, Problems* problems) {
  Pairs pairs;
  const StoredTensor* first = nullptr;
  const auto add = [&](const Convention& named, const StoredTensor& codes, const StoredTensor& scales) {
    const Convention* const convention = convention_of(named, codes, scales);
    if (!check_pair(files, *convention, codes, scales, problems)) return;
    if (pairs.convention != nullptr && pairs.convention != convention) {
      report(problems, ProblemKind::config, codes.name, "{} is stored as {}, but {} as {}",
             place(files, *first), pairs.convention->name, place(files, codes), convention->name);
      return;
    }
    pairs.convention = convention;
    first = &codes;
    pairs.scales_of.emplace(&codes, &scales);
    pairs.scales.insert(&scales);
  };
  for (const StoredTensor* const tensor : files.tensors()) {
    for (const Convention& convention : conventions()) {
      if (repeats_suffix(convention)) continue;
      if (tensor->name.ends_with(convention.codes_suffix)) {
        const std::string partner = module_of(*tensor, convention.codes_suffix) + convention.scales_suffix;
        const StoredTensor* const scales = files.find(partner);
        // Anything may be called "..._blocks": only U8 on one side makes a pair of them.
        if (tensor->dtype != Dtype::u8 && (scales == nullptr || scales->dtype != Dtype::u8)) continue;
        if (scales == nullptr) {
          report(problems, ProblemKind::missing, partner, "{} holds codes, but their scales '{}' are missing",
                 place(files, *tensor), partner);
        } else {
          add(convention, *tensor, *scales);
        }
      } else if (tensor->name.ends_with(convention.scales_suffix) && tensor->dtype == Dtype::u8) {
        const std::string partner = module_of(*tensor, convention.scales_suffix) + convention.codes_suffix;
        if (files.find(partner) != nullptr) continue;
        report(problems, ProblemKind::missing, partner, "{} holds scales, but their codes '{}' are missing",
               place(files, *tensor), partner);
      }
    }
  }
  return pairs;
}

StoredBlocks blocks_of_pair(const StoredTensor& codes, const StoredTensor& scales) {
  StoredBlocks view;
  view.codes = reinterpret_cast<const std::uint8_t*>(codes.bytes.data());
  view.scales = reinterpret_cast<const std::uint8_t*>(scales.bytes.data());
  view.shape = scales.shape;
  view.shape.back() *= kBlockSize;
  return view;
}

}  // namespace mxfp4
