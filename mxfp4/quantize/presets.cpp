#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

constexpr Preset kPresets[] = {
    {"mxfp4",
     {ScaleRule::optimal, Ties::even, NonFinite::error},
     "the least squared error of all scales; the default"},
    {"ocp",
     {ScaleRule::floor, Ties::even, NonFinite::nan_block},
     "the conversion that OCP MX v1.0 describes in section 6.3"},
    {"triton",
     {ScaleRule::rceil, Ties::even, NonFinite::error},
     "triton_kernels' downcast_to_mxfp, for inputs of any dtype"},
};

template <class T>
struct Named {
  const char* name;
  T value;
};

constexpr Named<Ties> kTies[] = {{"even", Ties::even}, {"zero", Ties::zero}, {"away", Ties::away}};

constexpr Named<NonFinite> kPolicies[] = {
    {"error", NonFinite::error}, {"nan_block", NonFinite::nan_block}, {"saturate", NonFinite::saturate}};

template <class Entry, std::size_t n>
const Entry* find(const Entry (&entries)[n], std::string_view name) noexcept {
  for (const Entry& entry : entries) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

}  // namespace

std::span<const Preset> presets() noexcept {
  return kPresets;
}

const Preset* find_preset(std::string_view name) noexcept {
  return find(kPresets, name);
}

std::optional<ScaleRule> parse_scale_rule(std::string_view name) noexcept {
  const ScaleRuleInfo* const found = find(kScaleRules, name);
  return found == nullptr ? std::nullopt : std::optional(found->rule);
}

std::optional<Ties> parse_ties(std::string_view name) noexcept {
  const Named<Ties>* const found = find(kTies, name);
  return found == nullptr ? std::nullopt : std::optional(found->value);
}

std::optional<NonFinite> parse_nonfinite(std::string_view name) noexcept {
  const Named<NonFinite>* const found = find(kPolicies, name);
  return found == nullptr ? std::nullopt : std::optional(found->value);
}

}  // namespace mxfp4
