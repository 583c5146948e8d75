#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/convention_internal.h"
#include "mxfp4/checkpoint/other_codes.h"
#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e4m3.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/reencode_internal.h"

namespace mxfp4::job {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "nvfp4-pack-quantized";

// The codes stay, and a block's scale 2^k becomes 2^(k - e) in E4M3 twice, once for each 16 elements, beside
// one number 2^-e for the whole weight. E4M3 has the powers from 2^-9 to 2^8, and e is such that the largest
// scale of a block that is not zero becomes 2^8: scales down to 2^-17 of it are exact. Scales of zeros are
// brought into that range. e >= -126 keeps 2^e and 2^-e normal in F32, whichever a reader computes with.
constexpr int kRange = kE4m3LargestPower - kE4m3LeastPower, kLeastExponent = -126;

/// Scale bytes of the blocks of a weight that are not zero, and of all where the byte is NaN's.
struct Scales {
  std::array<std::uint64_t, 256> count{};
  std::array<std::int64_t, 256> first{};  ///< block, if there is any

  int largest() const noexcept {  ///< -1: none but NaN
    int byte = kE8m0Nan - 1;
    while (byte >= 0 && count[static_cast<std::size_t>(byte)] == 0) --byte;
    return byte;
  }
};

/// What a weight's scales are relative to. Known when everything is planned.
struct Weight4 {
  BlockRows source;
  std::string group;  ///< whose weights have one number together
  int exponent = 0;   ///< e
};

/// The module that stands for those which readers join into one Linear layer, with one number: q, k and v;
/// gate and up.
std::string group_of(const std::string& weight) {
  constexpr std::string_view kJoined[][3] = {{".q_proj.", ".k_proj.", ".v_proj."},
                                             {".gate_proj.", ".up_proj.", ""},
                                             {".w1.", ".w3.", ""},
                                             {".q_a_proj.", ".kv_a_proj_with_mqa.", ""}};
  for (const auto& names : kJoined) {
    for (const std::string_view name : names) {
      const std::size_t at = name.empty() ? std::string::npos : weight.rfind(name);
      if (at != std::string::npos) return std::string(weight).replace(at, name.size(), names[0]);
    }
  }
  return weight;
}

Part nvfp4_part(std::shared_ptr<const Weight4> weight, const StoredNames& names, std::string global) {
  const BlockRows& source = weight->source;
  const Shape& shape = source.tensor().shape;
  const std::int64_t columns = shape[1];
  // scratch: rows as they are | the scales of NVFP4
  const std::size_t result_at = source.scratch_bytes();
  Part part;
  part.outputs = {{names.codes, Dtype::u8, {shape[0], columns / 2}},
                  {names.scales, Dtype::f8_e4m3, {shape[0], columns / kNvfp4Block}},
                  {std::move(global), Dtype::f32, {1}}};
  part.units = 1 + source.units().count();  // the first is the number
  part.unit_memory = result_at + static_cast<std::size_t>(source.units().most() * columns / kNvfp4Block);
  part.input_bytes = source.bytes();
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const BlockRows& from = weight->source;
    if (unit == 0) {
      const auto number = static_cast<float>(power_of_two(-weight->exponent));
      return write(2, 0, std::as_bytes(std::span(&number, 1)));
    }
    const Mxfp4View rows = from.read(unit - 1, scratch);
    const std::int64_t begin = from.units().begin(unit - 1) * from.blocks_per_row(),
                       count = rows.shape[0] * from.blocks_per_row();
    std::byte* const scales = scratch + result_at;
    for (std::int64_t block = 0; block < count; ++block) {
      const int power = rows.scales[block] - kE8m0Bias - weight->exponent;
      scales[2 * block] = scales[2 * block + 1] =
          std::byte{e4m3_power(std::clamp(power, kE4m3LeastPower, kE4m3LargestPower))};
    }
    write(0, static_cast<std::uint64_t>(begin * kCodeBytes),
          {reinterpret_cast<const std::byte*>(rows.codes), static_cast<std::size_t>(count * kCodeBytes)});
    write(1, static_cast<std::uint64_t>(2 * begin), {scales, static_cast<std::size_t>(2 * count)});
    from.release(unit - 1);
  };
  return part;
}

std::vector<Scales> scales_of(const std::vector<BlockRows>& weights, const Options& options) {
  std::vector<Scales> scales(weights.size());
  std::mutex mutex;
  look_at_rows(weights, options, [&](std::size_t weight, std::int64_t begin, const Mxfp4View& rows) {
    const std::int64_t blocks = weights[weight].blocks_per_row(), count = rows.shape[0] * blocks;
    Scales own;
    for (std::int64_t block = 0; block < count; ++block) {
      const std::size_t byte = rows.scales[block];
      if (byte != kE8m0Nan && is_zero_block(rows.codes + block * kCodeBytes)) continue;
      if (own.count[byte]++ == 0) own.first[byte] = begin * blocks + block;
    }
    const std::lock_guard lock(mutex);
    Scales& all = scales[weight];
    for (std::size_t byte = 0; byte < own.count.size(); ++byte) {
      if (own.count[byte] == 0) continue;
      all.first[byte] = all.count[byte] == 0 ? own.first[byte] : std::min(all.first[byte], own.first[byte]);
      all.count[byte] += own.count[byte];
    }
  });
  return scales;
}

/// The blocks of a weight that are too small beside the largest scale of its group, or NaN.
InexactBlocks inexact_of(const BlockRows& weight, const Scales& scales, int largest) {
  InexactBlocks inexact;
  const auto look = [&](int byte) {
    const auto at = static_cast<std::size_t>(byte);
    if (scales.count[at] == 0) return;
    const std::int64_t blocks = weight.blocks_per_row();
    note(inexact, scales.first[at] / blocks, scales.first[at] % blocks, [&] {
      if (byte == kE8m0Nan) return std::string("its scale is NaN, byte 255");
      return fmt::format(
          "its scale is 2^{}, the largest that shares its global scale is 2^{}, and E4M3 has no 2^{} of that",
          byte - kE8m0Bias, largest - kE8m0Bias, byte - largest);
    });
    inexact.blocks += scales.count[at] - 1;
  };
  for (int byte = 0; byte < largest - kRange; ++byte) look(byte);
  look(kE8m0Nan);
  return inexact;
}

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  const Json weights = {{"dynamic", false},
                        {"group_size", kNvfp4Block},
                        {"num_bits", 4},
                        {"scale_dtype", "torch.float8_e4m3fn"},
                        {"strategy", "tensor_group"},
                        {"symmetric", true},
                        {"type", "float"}};
  return compressed_tensors_texts(request, kFormat, weights.dump());
}

Convention nvfp4_convention() noexcept {
  return {"nvfp4",
          ".weight_packed",
          ".weight_scale",
          Dtype::u8,
          Dtype::f8_e4m3,
          CodeShape::bytes,
          ExpertLayout::single,
          false,
          "compressed-tensors",
          kFormat,
          texts,
          "NVFP4"};
}

}  // namespace

void plan_nvfp4(const ConvertSource& source, ConvertPlan& plan) {
  constexpr std::string_view kScale = "_scale";
  std::vector<BlockRows> weights;
  std::vector<std::shared_ptr<Weight4>> planned;
  plan_convention(source, nvfp4_convention(), plan, [&](const Assembled& weight, const StoredNames& names) {
    weights.emplace_back(weight, source.checkpoint.files);
    planned.push_back(std::make_shared<Weight4>(Weight4{weights.back(), group_of(weight.name), 0}));
    std::string global = names.scales;
    return nvfp4_part(planned.back(), names, global.insert(global.size() - kScale.size(), "_global"));
  });
  const std::vector<Scales> scales = scales_of(weights, *plan.options);
  std::map<std::string, int> largest;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    int& of_group = largest.emplace(planned[i]->group, -1).first->second;
    of_group = std::max(of_group, scales[i].largest());
  }
  std::vector<InexactBlocks> inexact;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const int byte = largest[planned[i]->group];
    if (byte >= 0) planned[i]->exponent = std::max(byte - kE8m0Bias - kE4m3LargestPower, kLeastExponent);
    inexact.push_back(inexact_of(weights[i], scales[i], byte));
  }
  report_inexact(std::move(inexact), weights, plan.report);
}

}  // namespace mxfp4::job
