// NEON with its dot product: in Armv8.2 and later, Neoverse N1, Apple M1 and what came after.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_neondot.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_neondot.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps neondot::kLinearOps = {group_bytes,
                                       pack<NeonDotProduct>,
                                       add_spread,
                                       plan,
                                       record_bytes,
                                       encode<NeonDotProduct>,
                                       preferred_groups<NeonDotProduct>,
                                       scratch_bytes<NeonDotProduct>,
                                       multiply<NeonDotProduct>,
                                       inspect_rows,
                                       row_record_bytes,
                                       encode_for_rows<NeonDotRows>,
                                       multiply_rows<NeonDotRows>};

const ExpertOps neondot::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
