// AVX2 with FMA: Intel from Haswell, AMD from Zen.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_avx2.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_avx2.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps avx2::kLinearOps = {group_bytes,
                                    pack<Avx2Dot>,
                                    add_spread,
                                    plan,
                                    record_bytes,
                                    encode<Avx2Dot>,
                                    preferred_groups<Avx2Dot>,
                                    scratch_bytes<Avx2Dot>,
                                    multiply<Avx2Dot>,
                                    inspect_rows,
                                    row_record_bytes,
                                    encode_for_rows<Avx2Rows>,
                                    multiply_rows<Avx2Rows>};

const ExpertOps avx2::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
