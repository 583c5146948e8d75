#include "mxfp4/kernel/vulkan/layer.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::kernel::vulkan {
namespace {

constexpr std::size_t kMostPasses = 8;  // that a layer keeps

std::size_t rows_of(const DenseView& x) noexcept {
  std::size_t rows = 1;
  for (std::size_t d = 0; d + 1 < x.shape.size(); ++d) rows *= static_cast<std::size_t>(x.shape[d]);
  return rows;
}

}  // namespace

LayerShape LayerWeights::shape() const noexcept {
  const bool two = kind == LayerKind::experts;
  return {kind,
          first.experts,
          first.blocks * 32,
          first.rows,
          two ? down.blocks * 32 : 0,
          two ? down.rows : first.rows};
}

Layer::Layer(std::shared_ptr<Gpu> gpu, const DeviceMatrices& matrices, LayerKind kind)
    : gpu_(std::move(gpu)), weights_(std::make_unique<LayerWeights>()) {
  const std::lock_guard lock(gpu_->mutex());
  try {
    weights_->kind = kind;
    weights_->first = Stack(*gpu_, matrices);
  } catch (...) {
    weights_.reset();  // under the lock
    throw;
  }
}

Layer::Layer(std::shared_ptr<Gpu> gpu, const DeviceExpertMatrices& experts)
    : gpu_(std::move(gpu)), weights_(std::make_unique<LayerWeights>()) {
  const std::lock_guard lock(gpu_->mutex());
  try {
    weights_->kind = LayerKind::experts;
    weights_->first = Stack(*gpu_, experts.first);
    if (!experts.second.empty()) weights_->second = Stack(*gpu_, experts.second);
    weights_->down = Stack(*gpu_, experts.down);
    const std::size_t bytes = experts.units.size() * sizeof(DeviceUnit);
    weights_->units = gpu_->memory().buffer(bytes, Place::device);
    Uploader(*gpu_).upload(weights_->units, experts.units.data(), bytes);
    weights_->one_unit = experts.units.size() == 1;
  } catch (...) {
    weights_.reset();
    throw;
  }
}

Layer::~Layer() {
  const std::lock_guard lock(gpu_->mutex());
  passes_.clear();
  weights_.reset();
}

std::size_t Layer::bytes() const noexcept {
  return weights_->first.bytes() + weights_->second.bytes() + weights_->down.bytes() +
         weights_->units.bytes() + weights_->router.weight.bytes() + weights_->router.bias.bytes() +
         weights_->router.correction.bytes();
}

bool Layer::route_by(const DeviceRouter& router) {
  const RouterOptions& options = router.options;
  if (weights_->down.experts > kMostRoutedExperts || options.groups > static_cast<int>(kMostGroups) ||
      router.weight.size_bytes() > gpu_->traits().storage_range) {
    return false;
  }
  const std::lock_guard lock(gpu_->mutex());
  Uploader uploader(*gpu_);
  const auto uploaded = [&](std::span<const float> values) {
    Buffer buffer = gpu_->memory().buffer(values.size_bytes(), Place::device);
    uploader.upload(buffer, values.data(), values.size_bytes());
    return buffer;
  };
  weights_->router = {options, uploaded(router.weight), uploaded(router.bias), uploaded(options.correction),
                      !router.bias.empty()};
  return true;
}

Pass& Layer::pass_for(const PassKey& key) {
  const auto found = passes_.find(key);
  if (found != passes_.end()) return *found->second;
  if (passes_.size() == kMostPasses) passes_.clear();
  return *passes_.emplace(key, std::make_unique<Pass>(*gpu_, *weights_, key)).first->second;
}

void Layer::forward(const DeviceCall& call) {
  const std::lock_guard lock(gpu_->mutex());
  const LayerShape shape = weights_->shape();
  const bool row_each = shape.kind == LayerKind::gather && call.x.rank() == 3;
  const std::size_t top_k = shape.kind == LayerKind::linear ? 1 : call.choice.top_k;
  const std::size_t tokens = row_each ? static_cast<std::size_t>(call.x.shape[0]) : rows_of(call.x);
  if (tokens == 0 || shape.outputs == 0 || (shape.kind == LayerKind::gather && top_k == 0)) return;
  const std::size_t most = pass_tokens(shape, top_k, gpu_->traits().storage_range,
                                       std::min(gpu_->traits().workgroups[0], gpu_->traits().workgroups[1]));
  if (most == 0) {
    fail(ErrorCode::unsupported, "vulkan: {} experts for each token of {} columns exceed the limits of {}",
         top_k, call.x.shape.back(), gpu_->traits().name);
  }
  PassKey key{0,
              top_k,
              call.x.dtype,
              call.activation,
              call.choice.weights_on_input,
              row_each,
              tokens > kMostDecodeTokens,
              call.choice.ids == nullptr       ? Routed::chosen
              : call.choice.weights == nullptr ? Routed::weighed
                                               : Routed::by_call};
  if (shape.kind != LayerKind::experts) key.routed = Routed::by_call;
  for (std::size_t first = 0; first < tokens; first += most) {
    const std::size_t count = std::min(most, tokens - first);
    key.tokens = std::bit_ceil(count);
    pass_for(key).run(call, first, count);
  }
}

}  // namespace mxfp4::kernel::vulkan
