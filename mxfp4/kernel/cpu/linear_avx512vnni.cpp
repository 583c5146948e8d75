// AVX-512 with VBMI and VNNI: Intel from Ice Lake, AMD from Zen 4.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_avx512vnni.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_avx512vnni.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps avx512vnni::kLinearOps = {group_bytes,
                                          pack<Avx512VnniDot>,
                                          add_spread,
                                          plan,
                                          record_bytes,
                                          encode<Avx512VnniDot>,
                                          preferred_groups<Avx512VnniDot>,
                                          scratch_bytes<Avx512VnniDot>,
                                          multiply<Avx512VnniDot>,
                                          inspect_rows,
                                          row_record_bytes,
                                          encode_for_rows<Avx512VnniRows>,
                                          multiply_rows<Avx512VnniRows>};

const ExpertOps avx512vnni::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
