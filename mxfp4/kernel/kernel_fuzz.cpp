// Any elements, codes and scale bytes under any recipe: the same bytes and sums on every instruction set, and
// those of the reference where it knows the recipe.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "mxfp4/kernel/ops.h"
#include "mxfp4/kernel/test_quantized.h"

namespace {

using namespace mxfp4;
using namespace mxfp4::kernel;

void check(bool holds) {
  if (!holds) std::abort();
}

/// Takes choices from the front of the input.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::size_t choose(std::size_t count) {
    if (size_ == 0) return 0;
    --size_;
    return *data_++ % count;
  }
  std::vector<std::uint8_t> rest() const { return {data_, data_ + size_}; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

void check_same(const Quantized& a, const Quantized& b, bool with_sums) {
  check(a.refused == b.refused);
  if (a.refused != kNone) return;
  check(a.codes == b.codes && a.scales == b.scales);
  if (!with_sums) return;
  check(std::memcmp(&a.stats, &b.stats, sizeof a.stats) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::bf16, Dtype::f16};
  QuantizeArgs args;
  args.dtype = kDtypes[input.choose(3)];
  args.block_size = input.choose(2) == 0 ? 32 : 16;
  args.columns = input.choose(200) + 1;
  args.recipe.scale = kScaleRules[input.choose(std::size(kScaleRules))].rule;
  args.recipe.ties = static_cast<Ties>(input.choose(3));
  args.recipe.nonfinite = static_cast<NonFinite>(input.choose(4));
  args.recipe.zeros = static_cast<Zeros>(input.choose(4));
  args.recipe.origin = static_cast<Origin>(input.choose(12));
  const bool with_reference = input.choose(2) == 1;

  const std::vector<std::uint8_t> bytes = input.rest();
  const auto element = static_cast<std::size_t>(bits_of(args.dtype)) / 8;
  args.rows = bytes.size() / element / args.columns;
  args.x = bytes.data();
  if (with_reference) {
    if (bytes.size() < args.rows * ((args.columns + 15) / 16)) return 0;
    args.reference = bytes.data();
  }

  DequantizeArgs back;
  back.codes = bytes.data();
  back.columns = args.columns / 32 * 32 + 32;
  back.rows = bytes.size() / (back.columns / 32 * 17);
  back.scales = bytes.data() + back.rows * back.columns / 2;
  back.dtype = args.dtype;
  std::vector<std::uint8_t> expected(back.rows * back.columns * element), out(expected.size());
  back.out = expected.data();
  cpu_ops(Isa::scalar).dequantize(back);

  const Quantized plain = quantized(cpu_ops(Isa::scalar), args, true);
  for (const Isa isa : built_isas()) {
    if (!supported(isa)) continue;
    check_same(quantized(cpu_ops(isa), args, true), plain, true);
    check_same(quantized(cpu_ops(isa), args, false), plain, false);
    back.out = out.data();
    cpu_ops(isa).dequantize(back);
    check(out == expected);
  }
  const bool plain_recipe = args.recipe.origin == Origin::none && args.recipe.zeros == Zeros::kept &&
                            args.recipe.nonfinite != NonFinite::origin;
  if (plain_recipe) check_same(quantized(reference_ops(), args, true), plain, false);
  return 0;
}
