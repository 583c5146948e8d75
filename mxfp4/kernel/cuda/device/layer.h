// A Linear layer or a mixture of experts whose weights lie packed in the device's memory.
#pragma once

#include <memory>
#include <vector>

#include "mxfp4/kernel/cuda/device/cuda_device.h"
#include "mxfp4/kernel/cuda/pieces.h"
#include "mxfp4/kernel/cuda/plan.h"
#include "mxfp4/kernel/cuda/product.h"
#include "mxfp4/kernel/cuda/routing.h"
#include "mxfp4/kernel/device.h"

namespace mxfp4::kernel::cuda {

/// Matrices of one projection, packed one after the other.
struct Projection {
  TileGrid tiles;
  std::size_t matrices = 0;
  std::size_t units = 0;    ///< rows of the outputs: plain rows, or gates
  std::size_t columns = 0;  ///< of the weights
  Buffer weights, factors, bias;
  Buffer plain;  ///< PlainMatrix of every matrix, if one has rows that cannot be packed
  std::vector<Buffer> plain_bytes;

  std::size_t packed_rows() const noexcept { return static_cast<std::size_t>(tiles.groups) * kTileRows; }
  std::size_t pitch() const noexcept { return static_cast<std::size_t>(tiles.columns) * kTileColumns; }
  std::size_t bytes() const noexcept;
};

/// Uploads and packs, a matrix at a time. `second` holds the ups of a gated projection whose gates are in
/// `first`, or is null; `gated` without it: they alternate. A matrix with a row
/// whose scales lie too far apart to be packed keeps its codes and scales.
Projection make_projection(Gpu& gpu, const DeviceMatrices& first, const DeviceMatrices* second, bool gated);

class Layer : public DeviceLayer {
 public:
  Layer(std::shared_ptr<Gpu> gpu, const DeviceMatrices& linear);
  Layer(std::shared_ptr<Gpu> gpu, const DeviceExpertMatrices& experts);

  std::size_t bytes() const noexcept override;
  Device queues() const noexcept override { return {Backend::cuda, gpu_->index}; }
  void reserve(DeviceQueue& queue, std::size_t tokens, std::size_t top_k) override;
  void forward(const DeviceCall& call) override;
  std::size_t outputs() const noexcept { return routed_ ? down_.units : first_.units; }

 private:
  struct Call;
  struct Memory;
  struct Staged;
  Call call_for(std::size_t tokens, const DeviceCall& asked) const;
  Call largest_call(std::size_t tokens, std::size_t top_k) const;
  Memory lay_out(Pieces& pieces, const Call& call) const;
  Staged stage(Pieces& pieces, const Call& call) const;
  WorkSize size_of(const Call& call, bool staged) const;
  void forward_here(const DeviceCall& asked, std::size_t tokens);
  void forward_in(Queue& queue, const DeviceCall& asked, std::size_t tokens);
  void launch(const Call& call, const Memory& memory, cudaStream_t stream) const;
  Routing routing(const Call& call, const Memory& memory) const;
  Product product(const Call& call, const Memory& memory, const ProductPlan& plan,
                  const Projection& projection) const;
  void multiply(const ProductPlan& plan, const Product& product, const Projection& projection,
                cudaStream_t stream) const;

  std::shared_ptr<Gpu> gpu_;
  Projection first_, down_;  // of a Linear layer, which has no down: all of it
  bool routed_ = false, one_unit_ = true;
  Buffer units_;
};

}  // namespace mxfp4::kernel::cuda
