// Any machine.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_scalar.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/rows_scalar.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps scalar::kLinearOps = {group_bytes,
                                      pack<ScalarDot>,
                                      add_spread,
                                      plan,
                                      record_bytes,
                                      encode<ScalarDot>,
                                      preferred_groups<ScalarDot>,
                                      scratch_bytes<ScalarDot>,
                                      multiply<ScalarDot>,
                                      inspect_rows,
                                      row_record_bytes,
                                      encode_for_rows<ScalarRows>,
                                      multiply_rows<ScalarRows>};

const ExpertOps scalar::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
