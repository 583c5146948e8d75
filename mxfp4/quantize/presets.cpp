#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

// Scale rule, ties, NaN and infinity, zeros, origin, whether elements are rounded to bf16 first.
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
    {"transformers",
     {ScaleRule::rceil, Ties::away, NonFinite::error, Zeros::kept, Origin::none, true},
     "transformers, and the gpt-oss that it saves"},
    {"ggml",
     {ScaleRule::floor, Ties::zero, NonFinite::error, Zeros::never, Origin::ggml},
     "ggml and llama.cpp"},
    {"torchao-floor",
     {ScaleRule::floor, Ties::even, NonFinite::origin, Zeros::kept, Origin::torchao},
     "torchao 0.15 to 0.18, FLOOR"},
    {"torchao-even",
     {ScaleRule::even, Ties::even, NonFinite::origin, Zeros::kept, Origin::torchao},
     "torchao 0.15 to 0.18, EVEN"},
    {"torchao-ceil",
     {ScaleRule::ceil, Ties::even, NonFinite::origin, Zeros::kept, Origin::torchao},
     "torchao 0.15 to 0.18, CEIL"},
    {"torchao-rceil",
     {ScaleRule::rceil, Ties::even, NonFinite::origin, Zeros::kept, Origin::torchao_rceil},
     "torchao 0.15 to 0.18, RCEIL"},
    {"compressed-tensors",
     {ScaleRule::even, Ties::even, NonFinite::origin, Zeros::exact, Origin::compressed_tensors},
     "compressed-tensors 0.17 to 0.20"},
    {"modelopt",
     {ScaleRule::rceil, Ties::zero, NonFinite::error, Zeros::all, Origin::modelopt},
     "NVIDIA ModelOpt 0.47"},
    {"quark",
     {ScaleRule::even, Ties::even, NonFinite::origin, Zeros::never, Origin::quark},
     "AMD Quark 0.13"},
    {"mistralrs",
     {ScaleRule::floor6, Ties::away, NonFinite::origin, Zeros::exact, Origin::mistralrs},
     "mistral.rs, hanzo: every block maximum saturates"},
    {"mlx",
     {ScaleRule::rceil, Ties::zero, NonFinite::error, Zeros::never, Origin::mlx},
     "MLX from 0.32.2 on, CPU"},
    {"microxcaling",
     {ScaleRule::floor, Ties::away, NonFinite::nan_block, Zeros::exact, Origin::microxcaling},
     "Microsoft's microxcaling"},
    {"qwantize-naive",
     {ScaleRule::floor, Ties::zero, NonFinite::error, Zeros::exact, Origin::qwantize_naive},
     "qwantize 0.1.1, naive"},
    {"qwantize-optimal",
     {ScaleRule::floor, Ties::zero, NonFinite::error, Zeros::never, Origin::qwantize_optimal},
     "qwantize 0.1.1, the better of two scales"},
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
