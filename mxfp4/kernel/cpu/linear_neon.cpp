// NEON: every AArch64 processor has it.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_neon.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_neon.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps neon::kLinearOps = {group_bytes,
                                    pack<NeonProduct>,
                                    add_spread,
                                    plan,
                                    record_bytes,
                                    encode<NeonProduct>,
                                    preferred_groups<NeonProduct>,
                                    scratch_bytes<NeonProduct>,
                                    multiply<NeonProduct>,
                                    inspect_rows,
                                    row_record_bytes,
                                    encode_for_rows<NeonRows>,
                                    multiply_rows<NeonRows>};

const ExpertOps neon::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
