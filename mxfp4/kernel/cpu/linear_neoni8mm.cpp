// NEON with its matrix product: Neoverse V1 and N2, Apple M2 and what came after.
#include "mxfp4/kernel/cpu/cpu_kernels.h"
#include "mxfp4/kernel/cpu/dot_neoni8mm.h"
#include "mxfp4/kernel/cpu/expert_kernels.h"
#include "mxfp4/kernel/cpu/inspect_weight.h"
#include "mxfp4/kernel/cpu/multiply.h"
#include "mxfp4/kernel/cpu/pack_groups.h"
#include "mxfp4/kernel/cpu/rows_neondot.h"
#include "mxfp4/kernel/cpu/rows_product.h"
#include "mxfp4/kernel/cpu/rows_records.h"
#include "mxfp4/kernel/cpu/token_records.h"

namespace mxfp4::kernel {

const LinearOps neoni8mm::kLinearOps = {group_bytes,
                                        pack<NeonI8mmProduct>,
                                        add_spread,
                                        plan,
                                        record_bytes,
                                        encode<NeonI8mmProduct>,
                                        preferred_groups<NeonI8mmProduct>,
                                        scratch_bytes<NeonI8mmProduct>,
                                        multiply<NeonI8mmProduct>,
                                        inspect_rows,
                                        row_record_bytes,
                                        encode_for_rows<NeonDotRows>,
                                        multiply_rows<NeonDotRows>};

const ExpertOps neoni8mm::kExpertOps = {gated_unit, add_routes, dots};

}  // namespace mxfp4::kernel
