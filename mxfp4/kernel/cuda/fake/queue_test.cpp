// Layers, quantise and dequantise in a queue: the results of calls from here, without a wait, an allocation
// or a launch in another stream.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cuda/fake/test_fake.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/layer/test_experts_internal.h"
#include "mxfp4/layer/test_linear_internal.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

using namespace test;
using kernel::cuda::fake::state;

class CudaQueue : public testing::Test {
 protected:
  CudaQueue() {
    state = {};
    options_.context.device = kHere;
  }

  static DenseView on_device(const void* data, Dtype dtype, Shape shape) {
    DenseView view = dense_view(data, dtype, std::move(shape));
    view.device = kHere;
    return view;
  }

  /// What `body` does in the queue, captured as a graph would be.
  template <class Body>
  void captured(const Body& body) {
    const auto before = state;
    state.streams.clear();
    state.capturing = true;
    body();
    state.capturing = false;
    EXPECT_GT(state.launches, before.launches);
    EXPECT_EQ(state.waits, before.waits);
    EXPECT_EQ(state.allocations, before.allocations);
    EXPECT_EQ(state.streams, std::set<void*>{stream_});
    EXPECT_EQ(state.device, before.device);
  }

  template <class Body>
  static std::string refused(const Body& body) {
    return error_of(body).what();
  }

  static constexpr Device kHere = {Backend::cuda, 1};
  char some_ = 0;
  void* stream_ = &some_;
  std::unique_ptr<DeviceQueue> queue_ = open_queue(kHere, stream_);
  LayerOptions options_;
  const ForwardOptions in_queue_ = {.queue = queue_.get()};
};

TEST_F(CudaQueue, LinearGivesTheResultsOfCallsFromHere) {
  const Mxfp4Tensor weight = random_weight(70, 350, 116, 124, 3);
  const Linear layer(weight.view(), normal(70, 4), options_);
  layer.reserve(*queue_, 40);
  for (const std::size_t tokens : {1u, 2u, 7u, 16u, 17u, 40u}) {
    const std::vector<float> x = normal(tokens * 350, 5);
    const auto count = static_cast<std::int64_t>(tokens);
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      std::vector<float> expected(tokens * 70), y(tokens * 70, NAN);
      const Shape shape = {count, 350};  // of bf16, half of the bytes
      layer.forward(dense_view(x.data(), dtype, shape), Dtype::f32, expected.data());
      captured([&] { layer.forward(on_device(x.data(), dtype, shape), Dtype::f32, y.data(), in_queue_); });
      EXPECT_TRUE(same_bits(y, expected)) << tokens << " tokens of " << to_string(dtype);
    }
  }
}

TEST_F(CudaQueue, ExpertsGiveTheResultsOfCallsFromHere) {
  const ExpertModel model(5, 96, 50);
  const Experts layer(model.weights(), options_);
  layer.reserve(*queue_, 30, 3);
  for (const std::size_t tokens : {1u, 6u, 16u, 30u}) {
    const ExpertBatch batch(model, tokens, 3);
    for (const bool on_input : {false, true}) {
      ExpertChoice choice = batch.choice();
      choice.weights_on_input = on_input;
      const Shape shape = {static_cast<std::int64_t>(tokens), 96};
      std::vector<float> expected(batch.x.size()), y(batch.x.size(), NAN);
      layer.forward(dense_view(batch.x.data(), Dtype::f32, shape), choice, Dtype::f32, expected.data());
      captured([&] {
        layer.forward(on_device(batch.x.data(), Dtype::f32, shape), choice, Dtype::f32, y.data(), in_queue_);
      });
      EXPECT_TRUE(same_bits(y, expected)) << tokens << " tokens";
    }
  }
}

TEST_F(CudaQueue, AnIdThatIsNoExpertIsNobody) {
  const ExpertModel model(2, 32, 32);
  const Experts layer(model.weights(), options_);
  layer.reserve(*queue_, 1, 2);
  const std::vector<float> x = normal(32, 5);
  const float weights[] = {1, 1};
  const std::int32_t some[] = {7, 1}, none[] = {-1, 1};
  std::vector<float> y(32), expected(32);
  layer.forward(on_device(x.data(), Dtype::f32, {1, 32}), {some, weights, 2}, Dtype::f32, y.data(),
                in_queue_);
  layer.forward(on_device(x.data(), Dtype::f32, {1, 32}), {none, weights, 2}, Dtype::f32, expected.data(),
                in_queue_);
  EXPECT_EQ(y, expected);
  layer.forward(on_device(x.data(), Dtype::f32, {1, 32}), {some, weights, 0}, Dtype::f32, y.data(),
                in_queue_);
  EXPECT_EQ(y, std::vector<float>(32));
}

TEST_F(CudaQueue, ExpertsMayHaveRowsThatCannotBePacked) {
  ExpertModel model(4, 96, 64);
  LayerOptions here = options_;
  here.context.device = {};
  const ExpertBatch batch(model, 20, 2);
  for (const bool alternate : {true, false}) {
    model.alternate = alternate;
    for (Mxfp4Tensor* const t : {&model.gate_up, &model.down}) {  // of expert 1, in its row 1
      const std::size_t row = t->scales.size() / 4 + static_cast<std::size_t>(t->view().blocks_per_row());
      t->scales[row] = 0;
      t->scales[row + 1] = 134;
    }
    const Experts layer(model.weights(), options_), expected(model.weights(), here);
    const std::vector<float> y = forward(layer, batch), wanted = forward(expected, batch);
    for (std::size_t i = 0; i < y.size(); ++i)
      ASSERT_NEAR(y[i], wanted[i], 1e-3f * (1 + std::fabs(wanted[i]))) << alternate << ", " << i;
  }
}

TEST_F(CudaQueue, SaysWhatLiesElsewhere) {
  const Mxfp4Tensor weight = random_weight(8, 32, 118, 122, 3);
  const Linear layer(weight.view(), {}, options_);
  LayerOptions other = options_;
  other.context.device.index = 0;
  const Linear there(weight.view(), {}, other);
  other.context.device = {};
  const Linear here(weight.view(), {}, other);
  float x[32] = {}, y[8];
  const DenseView on_cpu = dense_view(x, Dtype::f32, {1, 32}), on_gpu = on_device(x, Dtype::f32, {1, 32});
  EXPECT_EQ(refused([&] { layer.forward(on_gpu, Dtype::f32, y); }),
            "linear: x lies on cuda:1, and the call is for tensors on cpu");
  EXPECT_EQ(refused([&] { layer.forward(on_cpu, Dtype::f32, y, in_queue_); }),
            "linear: x lies on cpu, and the call is for tensors on cuda:1");
  EXPECT_EQ(refused([&] { here.forward(on_gpu, Dtype::f32, y, in_queue_); }),
            "linear: the weights lie on cpu, and the queue is of cuda:1");
  EXPECT_EQ(refused([&] { there.forward(on_gpu, Dtype::f32, y, in_queue_); }),
            "linear: the weights lie on cuda:0, and the queue is of cuda:1");
  EXPECT_EQ(refused([&] { there.reserve(*queue_, 1); }),
            "linear: the weights lie on cuda:0, and the queue is of cuda:1");
  EXPECT_EQ(refused([&] { copy_rows_f32(on_gpu, 0, 1, y); }),
            "a view of what lies on cuda:1 cannot be read on cpu");
  EXPECT_EQ(refused([&] { open_queue({}, nullptr); }), "cpu: has no queues; cuda has");
  EXPECT_EQ(refused([&] { quantize(on_gpu); }),
            "quantize: what is given lies on cuda:1, and the call is for tensors on cpu");
}

TEST_F(CudaQueue, NeverAllocatesInACall) {
  const Mxfp4Tensor weight = random_weight(8, 64, 118, 122, 3);
  const Linear layer(weight.view(), {}, options_);
  const std::vector<float> x = normal(20 * 64, 5);
  std::vector<float> y(20 * 8);
  const auto forward = [&](std::int64_t tokens) {
    layer.forward(on_device(x.data(), Dtype::f32, {tokens, 64}), Dtype::f32, y.data(), in_queue_);
  };
  EXPECT_NE(refused([&] { forward(1); }).find("bytes in its queue, where 0 are reserved"), std::string::npos);
  layer.reserve(*queue_, 4);
  forward(4);
  EXPECT_NE(refused([&] { forward(20); }).find("bytes in its queue"), std::string::npos);
  state.capturing = true;
  EXPECT_NE(refused([&] { layer.reserve(*queue_, 20); }).find("while a graph is captured"),
            std::string::npos);
  forward(4);  // a graph has this memory's addresses
  state.capturing = false;
  const std::size_t before = state.frees;
  layer.reserve(*queue_, 20);
  EXPECT_EQ(state.frees, before) << "the graph's memory is gone";
  forward(20);
  state.most_memory = state.memory;
  EXPECT_EQ(error_of([&] { layer.reserve(*queue_, 2000); }).code(), ErrorCode::out_of_memory);
}

TEST_F(CudaQueue, QuantisesAlongAnyAxisToTheBytesOfTheProcessor) {
  const std::vector<float> x = normal(3 * 4 * 35 * 6, 5);
  const Shape shape = {3, 4, 35, 6};
  for (const bool turned : {false, true}) {
    for (int axis = 0; axis < 4; ++axis) {
      for (const int block_size : {32, 16}) {
        DenseView view = on_device(x.data(), Dtype::f32, shape),
                  there = dense_view(x.data(), Dtype::f32, shape);
        if (turned) {
          view = view.transposed(0, 2).transposed(1, 3);
          there = there.transposed(0, 2).transposed(1, 3);
        }
        QuantizeOptions options{
            .recipe = {.nonfinite = NonFinite::saturate}, .axis = axis, .block_size = block_size};
        const Mxfp4Tensor expected = quantize(there, options);
        Mxfp4Tensor t = expected;
        t.codes.assign(t.codes.size(), 0xA5);
        t.scales.assign(t.scales.size(), 0xA5);
        options.queue = queue_.get();
        captured([&] { quantize_into(view, t.codes.data(), t.scales.data(), options); });
        EXPECT_EQ(t.codes, expected.codes) << axis << " " << turned;
        EXPECT_EQ(t.scales, expected.scales) << axis << " " << turned;
        std::vector<float> back(x.size(), NAN), wanted(x.size());
        dequantize(expected.view(), Dtype::f32, wanted.data());
        Mxfp4View packed = t.view();
        packed.device = kHere;
        captured([&] { dequantize(packed, Dtype::f32, back.data(), {}, queue_.get()); });
        EXPECT_EQ(back, wanted);
      }
    }
  }
}

TEST_F(CudaQueue, WaitsForWhatIsRefusedAndOnlyThen) {
  std::vector<float> x = normal(4 * 3 * 40, 5);
  x[1 * 120 + 2 * 40 + 33] = INFINITY;
  std::vector<std::uint8_t> codes(4096), scales(256);
  QuantizeOptions options{.axis = 1, .queue = queue_.get()};
  const DenseView view = on_device(x.data(), Dtype::f32, {4, 3, 40});
  const auto call = [&] { quantize_into(view, codes.data(), scales.data(), options); };
  EXPECT_EQ(refused(call), "quantize: element [1, 2, 33] is NaN or infinite");
  options.axis = -1;
  EXPECT_EQ(refused(call), "quantize: element [1, 2, 33] is NaN or infinite");
  state.capturing = true;
  EXPECT_NE(refused(call).find("while a graph is captured"), std::string::npos);
  state.capturing = false;
  options.recipe = find_preset("ggml")->recipe;
  EXPECT_NE(refused(call).find("recipes with an origin"), std::string::npos);
}

}  // namespace
}  // namespace mxfp4
