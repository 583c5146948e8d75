#include "mxfp4/base/device.h"

#include <charconv>
#include <cstdlib>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

struct Named {
  Backend backend;
  std::string_view name;
};
constexpr Named kBackends[] = {{Backend::vulkan, "vulkan"}, {Backend::cuda, "cuda"}};

[[noreturn]] void refuse(std::string_view who, std::string_view name) {
  fail(ErrorCode::invalid_argument, "{}'{}' is no device; cpu, vulkan, vulkan:N, cuda and cuda:N are", who,
       name);
}

Device parse(std::string_view who, std::string_view name) {
  if (name == "cpu") return {};
  for (const Named& backend : kBackends) {
    if (!name.starts_with(backend.name)) continue;
    Device device{backend.backend, Device::kBest};
    if (name == backend.name) return device;
    if (name[backend.name.size()] != ':') break;
    const char* const end = name.data() + name.size();
    const auto [last, error] = std::from_chars(name.data() + backend.name.size() + 1, end, device.index);
    if (error == std::errc() && last == end && device.index >= 0) return device;
  }
  refuse(who, name);
}

}  // namespace

Device parse_device(std::string_view name) {
  return parse("", name);
}

std::string to_string(const Device& device) {
  if (device.is_cpu()) return "cpu";
  std::string name;
  for (const Named& backend : kBackends) {
    if (backend.backend == device.backend) name = backend.name;
  }
  return device.index == Device::kBest ? name : name + ":" + std::to_string(device.index);
}

Device default_device() {
  const char* const named = std::getenv("MXFP4_DEVICE");
  return named == nullptr || *named == 0 ? Device{} : parse("MXFP4_DEVICE: ", named);
}

}  // namespace mxfp4
