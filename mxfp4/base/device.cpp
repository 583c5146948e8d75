#include "mxfp4/base/device.h"

#include <charconv>
#include <cstdlib>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

constexpr std::string_view kVulkan = "vulkan";

[[noreturn]] void refuse(std::string_view who, std::string_view name) {
  fail(ErrorCode::invalid_argument, "{}'{}' is no device; cpu, vulkan and vulkan:N are", who, name);
}

Device parse(std::string_view who, std::string_view name) {
  if (name == "cpu") return {};
  Device device{Backend::vulkan, Device::kBest};
  if (name == kVulkan) return device;
  if (!name.starts_with("vulkan:")) refuse(who, name);
  const char* const end = name.data() + name.size();
  const auto [last, error] = std::from_chars(name.data() + kVulkan.size() + 1, end, device.index);
  if (error != std::errc() || last != end || device.index < 0) refuse(who, name);
  return device;
}

}  // namespace

Device parse_device(std::string_view name) {
  return parse("", name);
}

std::string to_string(const Device& device) {
  if (device.is_cpu()) return "cpu";
  const std::string name(kVulkan);
  return device.index == Device::kBest ? name : name + ":" + std::to_string(device.index);
}

Device default_device() {
  const char* const named = std::getenv("MXFP4_DEVICE");
  return named == nullptr || *named == 0 ? Device{} : parse("MXFP4_DEVICE: ", named);
}

}  // namespace mxfp4
