// Linear layers and experts on a device.
#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <memory>

#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/vulkan/gpu.h"
#include "mxfp4/kernel/vulkan/recording.h"
#include "mxfp4/kernel/vulkan/stack.h"

namespace mxfp4::kernel::vulkan {

/// Where experts and their weights come from: both from the call; the weights from the router; both from it.
enum class Routed : std::uint8_t { by_call, weighed, chosen };

/// What a command buffer is recorded for. One for 64 tokens serves 33 to 64: how many there are stands in
/// the memory that it reads.
struct PassKey {
  std::size_t tokens = 0;  ///< a power of two
  std::size_t top_k = 1;
  Dtype dtype = Dtype::f32;  ///< of x
  Activation activation = Activation::exact;
  bool weights_on_input = false;
  bool row_each = false;  ///< every slot has a row of x of its own
  bool prefill = false;   ///< the kernel for many tokens
  Routed routed = Routed::by_call;

  friend auto operator<=>(const PassKey&, const PassKey&) = default;
};

/// A router of the experts of a layer.
struct RouterWeights {
  RouterOptions options;
  Buffer weight, bias, correction;
  bool with_bias = false;
};

/// The weights of a layer: of experts, or in `first` alone.
struct LayerWeights {
  LayerKind kind = LayerKind::linear;
  Stack first, second, down;
  Buffer units;
  bool one_unit = true;
  RouterWeights router;

  LayerShape shape() const noexcept;
};

/// The memory of a pass and its command buffer.
class Pass {
 public:
  Pass(Gpu& gpu, const LayerWeights& weights, const PassKey& key);

  /// Tokens [first, first + count).
  void run(const DeviceCall& call, std::size_t first, std::size_t count);

 private:
  void record();
  void record_encode(const Buffer& from, std::size_t first, Dtype dtype, const Stack& stack,
                     const Buffer& counts, std::size_t count_at, const Buffer& to);
  void record_product(const Stack& stack, const Buffer& x, std::size_t top_k, const Buffer& y);
  void record_router();
  void record_route();
  void record_experts();
  void write_lists(std::size_t count);

  const LayerWeights& weights_;
  PassKey key_;
  LayerShape shape_;
  std::size_t columns_, element_bytes_, slots_, rows_in_, rows_out_, tile_, tiles_;
  Shader product_;
  ListLayout layout_;
  std::size_t ids_at_, weights_at_, x_at_, in_words_;  // where the words of `in` begin
  Buffer upload_, lists_upload_, download_;
  Buffer in_, logits_, lists_, x_, first_, second_, activated_, middle_, down_, y_;
  Recording recording_;
};

class Layer : public DeviceLayer {
 public:
  Layer(std::shared_ptr<Gpu> gpu, const DeviceMatrices& matrices, LayerKind kind);
  Layer(std::shared_ptr<Gpu> gpu, const DeviceExpertMatrices& experts);
  ~Layer() override;

  std::size_t bytes() const noexcept override;
  void forward(const DeviceCall& call) override;
  bool route_by(const DeviceRouter& router) override;

 private:
  Pass& pass_for(const PassKey& key);

  std::shared_ptr<Gpu> gpu_;
  std::unique_ptr<LayerWeights> weights_;
  std::map<PassKey, std::unique_ptr<Pass>> passes_;
};

}  // namespace mxfp4::kernel::vulkan
