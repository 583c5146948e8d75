// What the tests of layers share.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "mxfp4/kernel/vulkan/test_vulkan.h"

namespace mxfp4::kernel::vulkan {

/// Random experts of one projection, with all that they refer to.
struct Matrices {
  std::vector<std::uint8_t> codes, scales;
  std::vector<Mxfp4View> views;
  std::vector<float> bias;

  Matrices(std::int64_t experts, std::int64_t rows, std::int64_t columns, unsigned seed) {
    std::mt19937 random(seed);
    const Mxfp4View one{nullptr, nullptr, {rows, columns}};
    codes.resize(static_cast<std::size_t>(experts * one.code_bytes()));
    scales.resize(static_cast<std::size_t>(experts * one.scale_bytes()));
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(118 + random() % 4);
    for (std::int64_t e = 0; e < experts; ++e) {
      views.push_back(
          {codes.data() + e * one.code_bytes(), scales.data() + e * one.scale_bytes(), {rows, columns}});
    }
    for (std::int64_t i = 0; i < experts * rows; ++i) bias.push_back(static_cast<float>(random() % 16));
  }
  DeviceMatrices args() const { return {views, bias, {}}; }
};

inline std::vector<float> inputs(std::size_t count) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace mxfp4::kernel::vulkan
