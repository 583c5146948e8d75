// Lists of modules to leave unquantised, in the language of the project that wrote them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/pattern.h"

namespace mxfp4 {

class ModuleMatcher;

/// A model's own list of modules to leave unquantised. What an entry means depends on the project that wrote
/// it.
class ModuleList {
 public:
  /// `quant_method` as in the config: "mxfp4" (transformers), "compressed-tensors", "quark", "modelopt";
  /// anything else means Pattern. Throws Error invalid_argument for an entry that is invalid in its language,
  /// unsupported for one that RE2 cannot hold; both name the entry.
  ModuleList(std::string_view quant_method, const std::vector<std::string>& entries);
  ModuleList(ModuleList&&) noexcept;
  ModuleList& operator=(ModuleList&&) noexcept;
  ~ModuleList();

  /// Whether the list names a module of the checkpoint. `module_class` is its class where that can be known
  /// ("Linear"). Of a module that joins others (fused_parts) the parts are asked as well, by those that know
  /// of fusing: compressed-tensors leaves it alone if any part is named; vLLM's reading only if all are, and
  /// a mixture throws Error invalid_argument. transformers asks about experts by the module that holds them:
  /// {...}.experts for {...}.experts.gate_up_proj.
  bool contains(std::string_view module, std::string_view module_class = "Linear") const;

 private:
  std::unique_ptr<const ModuleMatcher> matcher_;
};

/// The modules that one called {...}qkv_proj or {...}gate_up_proj joins; empty for any other name.
std::vector<std::string> fused_parts(std::string_view module);

}  // namespace mxfp4
