// What only a device can show: its bytes against the processor's, its packing and its products against the
// host's. Without one every test says so and is skipped.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/kernel/cuda/device/cuda_device.h"
#include "mxfp4/kernel/cuda/device/layer.h"
#include "mxfp4/kernel/cuda/pack_rows.h"
#include "mxfp4/kernel/test_conformance.h"
#include "mxfp4/kernel/test_quantized.h"

namespace mxfp4::kernel::cuda {
namespace {

using test::Random;

class OnCudaDevice : public testing::Test {
 protected:
  void SetUp() override {
    const DeviceList devices = list();
    if (devices.devices.empty()) GTEST_SKIP() << devices.why_none.front();
    for (const DeviceInfo& info : devices.devices) {
      if (info.best) device_ = std::make_unique<CudaDevice>(info.device.index);
    }
    if (device_ == nullptr)
      GTEST_SKIP() << devices.devices.front().name << ": " << devices.devices.front().refusal;
  }
  void TearDown() override { ::unsetenv("MXFP4_CUDA_KERNEL"); }

  static std::vector<float> normal(std::size_t count, Random& random) {
    std::vector<float> x(count);
    for (float& value : x) value = static_cast<float>(std::normal_distribution<double>()(random));
    return x;
  }
  std::vector<float> forward(DeviceLayer& layer, const std::vector<float>& x, std::int64_t columns,
                             std::size_t rows) {
    const auto tokens = static_cast<std::int64_t>(x.size()) / columns;
    std::vector<float> y(static_cast<std::size_t>(tokens) * rows, std::nanf(""));
    layer.forward({.x = dense_view(x.data(), Dtype::f32, {tokens, columns}), .y = y.data()});
    return y;
  }
  std::unique_ptr<CudaDevice> device_;
};

TEST_F(OnCudaDevice, QuantisesEveryRecipeToTheBytesOfTheProcessor) {
  Random random(1);
  for (int i = 0; i < 600; ++i) {
    QuantizeArgs args;
    args.dtype = kDtypes[random() % 3];
    args.rows = random() % 70;
    args.columns = random() % 3 ? 32 * (1 + random() % 40) : 1 + random() % 100;
    args.block_size = random() % 2 ? 32 : 16;
    args.recipe.scale = kScaleRules[random() % std::size(kScaleRules)].rule;
    args.recipe.ties = random() % 2 ? Ties::even : static_cast<Ties>(random() % 3);
    args.recipe.nonfinite = static_cast<NonFinite>(random() % 3);
    args.recipe.zeros = random() % 2 ? Zeros::kept : static_cast<Zeros>(random() % 4);
    args.recipe.through_bf16 = random() % 4 == 0;
    Unaligned x = make_rows(args.dtype, args.rows, args.columns, static_cast<std::size_t>(args.block_size),
                            random() % 2 == 0, random);
    args.x = x.data();
    const Quantized expected = quantized(cpu_ops(default_isa()), args, false);
    Quantized here = expected;
    std::fill(here.codes.begin(), here.codes.end(), std::uint8_t{0xA5});
    std::fill(here.scales.begin(), here.scales.end(), std::uint8_t{0xA5});
    args.codes = here.codes.data();
    args.scales = here.scales.data();
    ASSERT_EQ(device_->quantize(args), expected.refused) << i;
    if (expected.refused != kNone) continue;
    ASSERT_EQ(here.scales, expected.scales) << i;
    ASSERT_EQ(here.codes, expected.codes) << i;
  }
}

TEST_F(OnCudaDevice, DequantisesEveryByteToThoseOfTheProcessor) {
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    DequantizeArgs args;
    args.dtype = kDtypes[random() % 3];
    args.rows = 1 + random() % 70;
    args.columns = random() % 3 ? 32 * (1 + random() % 40) : 1 + random() % 100;
    args.block_size = random() % 2 ? 32 : 16;
    args.order = args.block_size == 32 && random() % 2 ? NibbleOrder::split16 : NibbleOrder::interleaved;
    const auto size = static_cast<std::size_t>(args.block_size);
    const std::size_t blocks = args.rows * ((args.columns + size - 1) / size);
    std::vector<std::uint8_t> codes(blocks * size / 2), scales(blocks);
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(random());
    args.codes = codes.data();
    args.scales = scales.data();
    std::vector<std::byte> here(args.rows * args.columns * bytes_of(args.dtype), std::byte{0xA5}),
        expected = here;
    args.out = here.data();
    device_->dequantize(args);
    args.out = expected.data();
    cpu_ops(default_isa()).dequantize(args);
    ASSERT_EQ(here, expected) << i;
  }
}

/// A weight with scales of every size that a model has.
struct Weight {
  std::vector<std::uint8_t> codes, scales;
  Mxfp4View view;

  Weight(std::int64_t rows, std::int64_t columns, NibbleOrder order, Random& random) {
    view.shape = {rows, columns};
    view.order = order;
    codes.resize(static_cast<std::size_t>(view.code_bytes()));
    scales.resize(static_cast<std::size_t>(view.scale_bytes()));
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& scale : scales) scale = static_cast<std::uint8_t>(test::integer(random, 110, 134));
    view.codes = codes.data();
    view.scales = scales.data();
  }
  PackSource source() const {
    PackSource source;
    source.codes[0] = codes.data();
    source.scales[0] = scales.data();
    source.nibbles[0] = view.order;
    source.units = static_cast<std::size_t>(view.shape[0]);
    source.blocks = static_cast<std::size_t>(view.blocks_per_row());
    return source;
  }
};

TEST_F(OnCudaDevice, PacksAsTheHostDoes) {
  Random random(3);
  Gpu gpu(0);
  for (const NibbleOrder order : {NibbleOrder::interleaved, NibbleOrder::split16}) {
    const Weight weight(100, 160, order, random);
    const PackSource source = weight.source();
    const Projection projection = make_projection(gpu, {{&weight.view, 1}, {}}, nullptr, false);
    std::vector<std::uint8_t> here(projection.weights.bytes());
    gpu.stream.to_host(here.data(), projection.weights.as<void>(), here.size(), "test");
    gpu.stream.wait("test");
    std::vector<std::int16_t> exponents;
    for (std::size_t p = 0; p < projection.packed_rows(); ++p) {
      exponents.push_back(static_cast<std::int16_t>(row_exponent(row_bytes(source, p))));
    }
    for (int group = 0; group < projection.tiles.groups; ++group) {
      for (int tile = 0; tile < projection.tiles.columns; ++tile) {
        const std::uint8_t* const at = here.data() + projection.tiles.offset(group, tile);
        for (int i = 0; i < 4 * kTileThreads; ++i) {
          const std::uint32_t word = packed_word(source, group, tile, i / 4, i % 4);
          ASSERT_EQ(std::memcmp(at + 4 * i, &word, 4), 0) << group << " " << tile << " " << i;
        }
        for (int i = 0; i < 32; ++i) {
          const std::uint32_t word = packed_scales(source, exponents.data(), group, tile, i / 8, i % 8);
          ASSERT_EQ(std::memcmp(at + scale_offset(i / 8, i % 8 * 4), &word, 4), 0) << group << " " << tile;
        }
      }
    }
  }
}

TEST_F(OnCudaDevice, EveryKernelGivesATokenTheSameBits) {
  Random random(4);
  const Weight weight(200, 1440, NibbleOrder::interleaved, random);
  const auto layer = device_->linear({{&weight.view, 1}, {}});
  const std::vector<float> x = normal(40 * 1440, random);
  ::setenv("MXFP4_CUDA_KERNEL", "prefill128", 1);
  const std::vector<float> all = forward(*layer, x, 1440, 200);
  ::setenv("MXFP4_CUDA_KERNEL", "prefill32", 1);
  EXPECT_EQ(forward(*layer, x, 1440, 200), all);
  for (const char* const kernel : {"decode8", "decode16", "decode32"}) {
    ::setenv("MXFP4_CUDA_KERNEL", kernel, 1);
    for (const std::size_t count : {1, 5, 16}) {
      const std::vector<float> few(x.begin() + 7 * 1440,
                                   x.begin() + static_cast<std::ptrdiff_t>((7 + count) * 1440));
      const std::vector<float> y = forward(*layer, few, 1440, 200);
      EXPECT_EQ(std::memcmp(y.data(), all.data() + 7 * 200, y.size() * 4), 0) << kernel << ", " << count;
    }
  }
}

TEST_F(OnCudaDevice, ManyForwardsOfOneInputAreTheSame) {
  Random random(5);
  const Weight weight(2880, 2880, NibbleOrder::interleaved, random);
  const auto layer = device_->linear({{&weight.view, 1}, {}});
  const std::vector<float> x = normal(3 * 2880, random);
  const std::vector<float> first = forward(*layer, x, 2880, 2880);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(forward(*layer, x, 2880, 2880), first) << i;
}

TEST_F(OnCudaDevice, MultipliesRowsThatCannotBePacked) {
  Random random(6);
  Weight weight(20, 64, NibbleOrder::interleaved, random);
  weight.scales[2 * 7] = 0;
  weight.scales[2 * 7 + 1] = 140;
  const auto layer = device_->linear({{&weight.view, 1}, {}});
  for (const std::size_t tokens : {1u, 20u}) {
    const std::vector<float> x = normal(tokens * 64, random), y = forward(*layer, x, 64, 20);
    for (std::size_t t = 0; t < tokens; ++t) {
      double sum = 0, magnitude = 0;
      for (std::size_t k = 0; k < 64; ++k) {
        const std::size_t block = 2 * 7 + k / 32;
        const double product = static_cast<double>(x[t * 64 + k]) *
                               static_cast<double>(decode(
                                   nibble(weight.codes.data() + block * 16, k % 32, NibbleOrder::interleaved),
                                   weight.scales[block]));
        sum += product;
        magnitude += std::fabs(product);
      }
      ASSERT_NEAR(static_cast<double>(y[t * 20 + 7]), sum, 0x1p-16 * magnitude) << tokens << ", " << t;
    }
  }
}

/// A graph of one forward, in a stream of the test's, from memory of the device's and to it.
TEST_F(OnCudaDevice, AForwardIsCapturedIntoAGraph) {
  Random random(7);
  const Weight weight(200, 1440, NibbleOrder::interleaved, random);
  const auto layer = device_->linear({{&weight.view, 1}, {}});
  const Device device = layer->queues();
  const Current current(device.index);
  const Stream stream = Stream::make(device.index);
  const auto queue = device_->queue(stream.get());
  layer->reserve(*queue, 40, 1);
  for (const std::size_t tokens : {3u, 40u}) {
    const Buffer in(tokens * 1440 * 4), out(tokens * 200 * 4);
    DenseView x = dense_view(in.as<void>(), Dtype::f32, {static_cast<std::int64_t>(tokens), 1440});
    x.device = device;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t runnable = nullptr;
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), "test");
    layer->forward({.x = x, .y = out.as<void>(), .queue = queue.get()});
    check(cudaStreamEndCapture(stream.get(), &graph), "test");
    check(cudaGraphInstantiate(&runnable, graph, 0), "test");
    for (int i = 0; i < 3; ++i) {
      const std::vector<float> given = normal(tokens * 1440, random);
      std::vector<float> y(tokens * 200);
      stream.to_device(in.as<void>(), given.data(), in.bytes(), "test");
      check(cudaGraphLaunch(runnable, stream.get()), "test");
      stream.to_host(y.data(), out.as<void>(), out.bytes(), "test");
      stream.wait("test");
      ASSERT_EQ(y, forward(*layer, given, 1440, 200)) << tokens << " tokens, run " << i;
    }
    check(cudaGraphExecDestroy(runnable), "test");
    check(cudaGraphDestroy(graph), "test");
  }
}

TEST_F(OnCudaDevice, QuantisesAlongAnyAxisToTheBytesOfTheProcessor) {
  Random random(8);
  const std::vector<float> given = normal(4 * 70 * 33, random);
  const auto queue = device_->queue(nullptr);
  const Current current(queue->device().index);
  const Stream stream(nullptr);
  const Buffer in(given.size() * 4), codes(given.size() * 2), scales(given.size());
  stream.to_device(in.as<void>(), given.data(), in.bytes(), "test");
  for (const auto& [a, b] : {std::pair{0, 2}, std::pair{1, 2}, std::pair{0, 1}}) {
    const DenseView here = dense_view(given.data(), Dtype::f32, {4, 70, 33}).transposed(a, b);
    DenseView there = dense_view(in.as<void>(), Dtype::f32, {4, 70, 33}).transposed(a, b);
    there.device = queue->device();
    std::vector<float> rows(given.size());
    copy_rows_f32(here, 0, here.shape[0] * here.shape[1], rows.data());
    QuantizeArgs args;
    args.x = rows.data();
    args.rows = static_cast<std::size_t>(here.shape[0] * here.shape[1]);
    args.columns = static_cast<std::size_t>(here.shape[2]);
    const Quantized expected = quantized(cpu_ops(default_isa()), args, false);
    Quantized y = expected;
    ASSERT_EQ(queue->quantize({there, 32, {}, codes.as<std::uint8_t>(), scales.as<std::uint8_t>()}), kNone);
    stream.to_host(y.codes.data(), codes.as<void>(), y.codes.size(), "test");
    stream.to_host(y.scales.data(), scales.as<void>(), y.scales.size(), "test");
    stream.wait("test");
    EXPECT_EQ(y.codes, expected.codes) << a << b;
    EXPECT_EQ(y.scales, expected.scales) << a << b;
  }
}

}  // namespace
}  // namespace mxfp4::kernel::cuda
