// What the re-encodings share: every block is looked at before anything is written, and one that the other
// quantisation does not hold exactly is a reason not to.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/job/assembly_internal.h"
#include "mxfp4/job/convert_job.h"

namespace mxfp4::job {

inline constexpr std::int64_t kCodeBytes = kBlockSize / 2;  ///< of a block

/// Whether all elements of a block are 0 or -0, whatever its scale.
inline bool is_zero_block(const std::uint8_t* codes) noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, codes, sizeof halves);
  return ((halves[0] | halves[1]) & 0x7777777777777777u) == 0;
}

/// The code of element k of a block.
inline std::uint8_t code_at(const std::uint8_t* codes, std::int64_t k) noexcept {
  return static_cast<std::uint8_t>(k % 2 == 0 ? codes[k / 2] & 15 : codes[k / 2] >> 4);
}

/// Calls look(weight, begin, rows), where `rows` begin with row `begin` of weights[weight], for all rows of
/// all, from several threads.
void look_at_rows(
    const std::vector<BlockRows>& weights, const Options& options,
    const std::function<void(std::size_t weight, std::int64_t begin, const Mxfp4View& rows)>& look);

/// Counts a block that is not held; reason() is asked for of the first in the weight.
template <class Reason>
void note(InexactBlocks& inexact, std::int64_t row, std::int64_t block, const Reason& reason) {
  if (inexact.blocks++ > 0 && std::pair(inexact.row, inexact.block) <= std::pair(row, block)) return;
  inexact.row = row;
  inexact.block = block;
  inexact.reason = reason();
}

/// Reports the weights of which some blocks are not held.
void report_inexact(std::vector<InexactBlocks> inexact, const std::vector<BlockRows>& weights,
                    ConvertReport& report);

}  // namespace mxfp4::job
