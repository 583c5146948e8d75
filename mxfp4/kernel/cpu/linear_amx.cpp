// AMX for 8-bit integers: Intel from Sapphire Rapids.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_amx.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_avx512vnni.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {
namespace {

void multiply_in_tiles(const MultiplyArgs& args) noexcept {
  if (args.count <= AmxProduct::kMostDirect) return multiply<AmxProduct>(args);
  const AmxTiles tiles(AmxMatrix::kDepth);
  multiply<AmxProduct>(args);
}

}  // namespace

const LinearOps amx::kLinearOps = {group_bytes,
                                   pack<AmxProduct>,
                                   add_spread,
                                   plan,
                                   record_bytes,
                                   encode<AmxProduct>,
                                   preferred_groups<AmxProduct>,
                                   scratch_bytes<AmxProduct>,
                                   multiply_in_tiles,
                                   inspect_rows,
                                   row_record_bytes,
                                   encode_for_rows<Avx512VnniRows>,
                                   multiply_rows<Avx512VnniRows>};

const ExpertOps amx::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
