// A forward is a run of launches on one stream: terms of the activations, routing, products, the weighted
// sum. Nothing in it waits for the host or allocates: reserve() has done that before.
#include "mxfp4/kernel/cuda/device/layer.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/cuda/device/expert_kernels.h"
#include "mxfp4/kernel/cuda/device/product_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

static_assert(sizeof(Unit) == sizeof(DeviceUnit));

std::size_t bytes_of(Dtype dtype) noexcept {
  return static_cast<std::size_t>(bits_of(dtype)) / 8;
}

/// Of one run of launches; more are done one after the other, with the same results.
constexpr std::size_t kMostTokens = 16384;

/// bf16 is one term; f32 and f16 are two.
int terms_of_dtype(Dtype dtype) noexcept {
  return dtype == Dtype::bf16 ? 1 : 2;
}

std::string_view forced_kernel() {
  const char* const name = std::getenv("MXFP4_CUDA_KERNEL");
  return name == nullptr ? "" : name;
}

/// The device is the calling thread's, and nobody else's.
struct InUse {
  explicit InUse(Gpu& gpu) : lock(gpu.mutex), current(gpu.index) {}
  std::lock_guard<std::mutex> lock;
  Current current;
};

}  // namespace

/// Sizes of one forward.
struct Layer::Call {
  std::size_t tokens, top_k, slots;
  Dtype in, out;
  bool weights_on_input;
  int terms;
  ProductPlan first, down;
};

Layer::Layer(std::shared_ptr<Gpu> gpu, const DeviceMatrices& linear) : gpu_(std::move(gpu)) {
  const InUse in_use(*gpu_);
  allow_shared_memory(gpu_->traits);
  first_ = make_projection(*gpu_, linear, nullptr, false);
}

Layer::Layer(std::shared_ptr<Gpu> gpu, const DeviceExpertMatrices& experts)
    : gpu_(std::move(gpu)), routed_(true), one_unit_(experts.units.size() == 1) {
  const InUse in_use(*gpu_);
  const std::size_t count = experts.down.matrices.size();
  if (count > kMostExperts) {
    fail(ErrorCode::unsupported, "cuda: {} experts; up to {} can be", count, kMostExperts);
  }
  allow_shared_memory(gpu_->traits);
  first_ = make_projection(*gpu_, experts.first, experts.second.empty() ? nullptr : &experts.second, true);
  down_ = make_projection(*gpu_, experts.down, nullptr, false);
  units_ = Buffer(experts.units.size() * sizeof(Unit));
  gpu_->stream.to_device(units_.as<void>(), experts.units.data(), units_.bytes(), "copying gated units");
  gpu_->stream.wait("copying gated units");
}

std::size_t Layer::bytes() const noexcept {
  return first_.bytes() + down_.bytes() + units_.bytes();
}

void Layer::reserve(const Call& call) const {
  Workspace& work = gpu_->work;
  const auto terms = static_cast<std::size_t>(call.terms);
  work.input.grow(call.tokens * first_.columns * bytes_of(call.in));
  work.terms.grow(call.tokens * terms * first_.pitch() * 2);
  work.output.grow(call.tokens * outputs() * bytes_of(call.out));
  work.ids.grow(call.slots * sizeof(std::int32_t));
  work.weights.grow(call.slots * sizeof(float));
  work.first_position.grow(first_.matrices * sizeof(std::int32_t));
  for (Buffer* const of_slots : {&work.position_of, &work.token_of, &work.weight_of})
    of_slots->grow(call.slots * 4);
  work.token_tiles.grow(call.first.token_tiles * sizeof(TokenTile));
  work.token_tile_count.grow(sizeof(std::int32_t));
  work.partials.grow(std::max(call.first.partial_bytes(), call.down.partial_bytes()));
  const std::size_t counters = std::max(call.first.counter_bytes(), call.down.counter_bytes());
  if (counters > work.counters.bytes()) {
    work.counters.grow(counters);
    gpu_->stream.fill(work.counters.as<void>(), 0, counters, "clearing counters");
  }
  if (!routed_) return;
  work.rows.grow(call.slots * down_.units * sizeof(float));
  work.hidden.grow(call.slots * terms * down_.pitch() * 2);
}

Product Layer::product(const Call& call, const ProductPlan& plan, const Projection& projection) const {
  const Workspace& work = gpu_->work;
  Product p = {};
  p.weights = projection.weights.as<std::uint8_t>();
  p.tiles = projection.tiles;
  p.row_factors = projection.factors.as<float>();
  p.bias = projection.bias.as<float>();
  p.packed_rows = projection.packed_rows();
  p.terms = call.terms;
  p.token_tiles = work.token_tiles.as<TokenTile>();
  p.token_tile_count = work.token_tile_count.as<std::int32_t>();
  p.rows = projection.units;
  p.chunk_tiles = plan.chunk_tiles;
  p.chunks = plan.chunks;
  p.partials = work.partials.as<float>();
  p.counters = work.counters.as<unsigned>();
  return p;
}

void Layer::launch(const Call& call) const {
  const Workspace& work = gpu_->work;
  const cudaStream_t stream = gpu_->stream.get();
  launch_terms({work.input.as<void>(), call.in, call.tokens, first_.columns, call.terms, first_.pitch(),
                work.terms.as<std::uint16_t>()},
               stream);
  check_launch("terms of activations");
  Routing routing = {};
  routing.ids = routed_ ? work.ids.as<std::int32_t>() : nullptr;
  routing.weights = routed_ ? work.weights.as<float>() : nullptr;
  routing.tokens = static_cast<int>(call.tokens);
  routing.top_k = static_cast<int>(call.top_k);
  routing.experts = static_cast<int>(first_.matrices);
  routing.tile_positions = call.first.positions;
  routing.first_position = work.first_position.as<std::int32_t>();
  routing.position_of = work.position_of.as<std::int32_t>();
  routing.token_of = work.token_of.as<std::int32_t>();
  routing.weight_of = work.weight_of.as<float>();
  routing.token_tiles = work.token_tiles.as<TokenTile>();
  routing.token_tile_count = work.token_tile_count.as<std::int32_t>();
  launch_routing(routing, stream);
  check_launch("routing");
  Product p = product(call, call.first, first_);
  p.x = work.terms.as<std::uint16_t>();
  p.row_of = routing.token_of;
  if (routed_) {
    p.input_weights = call.weights_on_input ? routing.weight_of : nullptr;
    p.gated = true;
    p.units = units_.as<Unit>();
    p.one_unit = one_unit_;
    p.hidden = work.hidden.as<std::uint16_t>();
    p.hidden_pitch = down_.pitch();
    if (down_.pitch() > first_.units) {  // columns of completion meet weights of 0, and must not be NaN
      check(
          cudaMemset2DAsync(p.hidden + first_.units, down_.pitch() * 2, 0, (down_.pitch() - first_.units) * 2,
                            call.slots * static_cast<std::size_t>(call.terms), stream),
          "clearing activations");
    }
  } else {
    p.out = work.output.as<void>();
    p.out_bytes = static_cast<int>(bytes_of(call.out));
    p.out_half = call.out == Dtype::f16;
  }
  launch_product(call.first, p, stream);
  check_launch(call.first.kernel.name);
  if (!routed_) return;
  Product down = product(call, call.down, down_);
  down.x = work.hidden.as<std::uint16_t>();
  down.out = work.rows.as<void>();
  down.out_bytes = 4;
  launch_product(call.down, down, stream);
  check_launch(call.down.kernel.name);
  launch_combine({work.rows.as<float>(), down_.units, routing.tokens, routing.top_k, routing.position_of,
                  call.weights_on_input ? nullptr : routing.weights, call.out, work.output.as<void>()},
                 stream);
  check_launch("the sum over experts");
}

Layer::Call Layer::call_for(std::size_t tokens, const DeviceCall& asked) const {
  Call call = {};
  call.tokens = tokens;
  call.top_k = routed_ ? asked.choice.top_k : 1;
  call.slots = tokens * call.top_k;
  call.in = asked.x.dtype;
  call.out = asked.dtype;
  call.weights_on_input = asked.choice.weights_on_input;
  call.terms = terms_of_dtype(call.in);
  ProductShape shape{first_.tiles, first_.matrices, tokens, call.slots, call.terms};
  call.first = plan_product(shape, gpu_->traits, forced_kernel());
  shape.tiles = down_.tiles;
  if (routed_)
    call.down = plan_product(shape, gpu_->traits, call.first.kernel.name);  // of the same token tiles
  return call;
}

void Layer::forward(const DeviceCall& asked) {
  if (asked.activation != Activation::exact) {
    fail(ErrorCode::unsupported, "cuda: activations are exact, neither int8 nor mxfp8");
  }
  const DenseView& x = asked.x;
  const DeviceChoice& choice = asked.choice;
  const std::size_t tokens = static_cast<std::size_t>(x.elements()) / first_.columns;
  const std::size_t in_row = first_.columns * bytes_of(x.dtype), out_row = outputs() * bytes_of(asked.dtype);
  if (tokens == 0 || outputs() == 0) return;
  auto* const out = static_cast<std::byte*>(asked.y);
  if (routed_ && choice.top_k == 0) {
    std::fill_n(out, tokens * out_row, std::byte{0});
    return;
  }
  const std::byte* in = x.data;
  std::vector<std::byte> gathered;
  if (!x.contiguous()) {
    gathered.resize(tokens * in_row);
    copy_rows(x, 0, static_cast<std::int64_t>(tokens), gathered.data());
    in = gathered.data();
  }
  const InUse in_use(*gpu_);
  const Stream& stream = gpu_->stream;
  for (std::size_t first = 0; first < tokens; first += kMostTokens) {
    const Call call = call_for(std::min(kMostTokens, tokens - first), asked);
    reserve(call);
    const Workspace& work = gpu_->work;
    stream.to_device(work.input.as<void>(), in + first * in_row, call.tokens * in_row, "copying activations");
    if (routed_) {
      stream.to_device(work.ids.as<void>(), choice.ids + first * call.top_k,
                       call.slots * sizeof(std::int32_t), "copying choices");
      stream.to_device(work.weights.as<void>(), choice.weights + first * call.top_k,
                       call.slots * sizeof(float), "copying weights of choices");
    }
    launch(call);
    stream.to_host(out + first * out_row, work.output.as<void>(), call.tokens * out_row, "copying results");
    stream.wait("a forward");
  }
}

}  // namespace mxfp4::kernel::cuda
