// What is asked for before it is needed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mxfp4::kernel {

/// Where weights that are asked for ahead of their use go.
enum class Prefetch : std::uint8_t {
  none,  ///< nowhere: the processor follows the stream by itself
  near,  ///< the first level of the caches
  far,   ///< the second
};

/// What serves this processor, for one token and for more, and for rows where they lie. On Zen 5 and Ice Lake
/// arithmetic and waiting take turns without `near`. An AMD processor up to Zen 4 has 24 lines under way to
/// its first level at the most, too few for its memory: one token is fast enough for what the processor does
/// by itself, more are not.
Prefetch prefetch_for(std::size_t tokens) noexcept;
Prefetch prefetch_for_rows() noexcept;

inline constexpr std::size_t kAhead = 8 << 10;    ///< of weights, in bytes
inline constexpr std::size_t kRecordAhead = 256;  ///< of a token's record, which streaming weights drive out

template <Prefetch kPrefetch>
[[gnu::always_inline]] inline void ask_for_line(const std::byte* line) noexcept {
  if constexpr (kPrefetch != Prefetch::none) __builtin_prefetch(line, 0, kPrefetch == Prefetch::near ? 3 : 2);
}

}  // namespace mxfp4::kernel
