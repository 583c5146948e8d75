// AVX-VNNI: Intel's Alder Lake and later, AMD from Zen 5.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_avxvnni.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_avxvnni.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps avxvnni::kLinearOps = {group_bytes,
                                       pack<AvxVnniDot>,
                                       add_spread,
                                       plan,
                                       record_bytes,
                                       encode<AvxVnniDot>,
                                       preferred_groups<AvxVnniDot>,
                                       scratch_bytes<AvxVnniDot>,
                                       multiply<AvxVnniDot>,
                                       inspect_rows,
                                       row_record_bytes,
                                       encode_for_rows<AvxVnniRows>,
                                       multiply_rows<AvxVnniRows>};

const ExpertOps avxvnni::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
