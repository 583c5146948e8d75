// AMX for 8-bit integers: tdpbssd; and vfmadd231ps of 512 bits.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_amx.h"
#include "mxfp4/kernel/cpu/isa_avx512.h"
#include "mxfp4/kernel/cpu/limits.h"
#include "mxfp4/kernel/cpu/limits_avx512.h"

namespace mxfp4::kernel {
namespace {

/// Of whole tiles, 64 bytes deep. Four chains hide the latency of 52 clocks behind 16 each.
double int8_dots(std::size_t rounds) noexcept {
  constexpr double kOperations = 4 * 2.0 * 16 * 16 * 64;
  const AmxTiles tiles(64);
  alignas(64) static const std::byte zeros[16 * 64] = {};
  _tile_loadd(3, zeros, 64);
  _tile_loadd(6, zeros, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(7);
  for (std::size_t round = 0; round < rounds; ++round) {
    _tile_dpbssd(0, 3, 6);
    _tile_dpbssd(1, 3, 6);
    _tile_dpbssd(2, 3, 6);
    _tile_dpbssd(7, 3, 6);
  }
  return static_cast<double>(rounds) * kOperations;
}

}  // namespace

const LimitOps amx::kLimitOps = {read<Avx512>, int8_dots, run_chains<F32s512>};

}  // namespace mxfp4::kernel
