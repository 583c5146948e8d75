// A forward is a run of launches on one stream: terms of the activations, routing, products, the weighted
// sum. Nothing in it waits for the host or allocates: reserve() has done that before.
#include "mxfp4/kernel/cuda/device/layer.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/cuda/device/expert_kernels.h"
#include "mxfp4/kernel/cuda/device/plain_kernels.h"
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

ProductMemory larger(const ProductMemory& a, const ProductMemory& b) noexcept {
  return {std::max(a.token_tiles, b.token_tiles), std::max(a.partial_bytes, b.partial_bytes),
          std::max(a.counter_bytes, b.counter_bytes)};
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

/// Sizes of one run of launches.
struct Layer::Call {
  std::size_t tokens, top_k, slots;
  Dtype in, out;
  bool weights_on_input;
  int terms;
  ProductPlan first, down;
  ProductMemory memory;
};

/// Where everything of a call lies.
struct Layer::Memory {
  // What is given, and y: staged here, or the caller's on the device.
  const void* input;
  const std::int32_t* ids;
  const float* weights;
  void* output;

  std::uint16_t *terms, *hidden;
  float *rows, *partials, *weight_of;
  unsigned* counters;
  std::int32_t *first_position, *position_of, *token_of, *token_tile_count;
  TokenTile* token_tiles;
};

/// Memory on the device for what a call is given and gives, if it is not there already.
struct Layer::Staged {
  std::byte *input, *output;
  std::int32_t* ids;
  float* weights;
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

Layer::Memory Layer::lay_out(Pieces& pieces, const Call& call) const {
  const auto terms = static_cast<std::size_t>(call.terms);
  const std::size_t routed = routed_ ? call.slots : 0;
  Memory memory = {};
  memory.terms = pieces.take<std::uint16_t>(call.tokens * terms * first_.pitch());
  memory.hidden = pieces.take<std::uint16_t>(routed * terms * down_.pitch());
  memory.rows = pieces.take<float>(routed * down_.units);
  memory.partials = pieces.take<float>(call.memory.partial_bytes / sizeof(float));
  memory.weight_of = pieces.take<float>(call.slots);
  memory.first_position = pieces.take<std::int32_t>(first_.matrices);
  memory.position_of = pieces.take<std::int32_t>(call.slots);
  memory.token_of = pieces.take<std::int32_t>(call.slots);
  memory.token_tile_count = pieces.take<std::int32_t>(1);
  memory.token_tiles = pieces.take<TokenTile>(call.memory.token_tiles);
  return memory;
}

Layer::Staged Layer::stage(Pieces& pieces, const Call& call) const {
  return {pieces.take<std::byte>(call.tokens * first_.columns * bytes_of(call.in)),
          pieces.take<std::byte>(call.tokens * outputs() * bytes_of(call.out)),
          pieces.take<std::int32_t>(call.slots), pieces.take<float>(call.slots)};
}

WorkSize Layer::size_of(const Call& call, bool staged) const {
  Pieces pieces;
  lay_out(pieces, call);
  if (staged) stage(pieces, call);
  return {pieces.bytes(), call.memory.counter_bytes};
}

Product Layer::product(const Call& call, const Memory& memory, const ProductPlan& plan,
                       const Projection& projection) const {
  Product p = {};
  p.weights = projection.weights.as<std::uint8_t>();
  p.tiles = projection.tiles;
  p.row_factors = projection.factors.as<float>();
  p.bias = projection.bias.as<float>();
  p.packed_rows = projection.packed_rows();
  p.terms = call.terms;
  p.token_tiles = memory.token_tiles;
  p.token_tile_count = memory.token_tile_count;
  p.rows = projection.units;
  p.chunk_tiles = plan.chunk_tiles;
  p.chunks = plan.chunks;
  p.partials = memory.partials;
  p.counters = memory.counters;
  return p;
}

Routing Layer::routing(const Call& call, const Memory& memory) const {
  Routing routing = {};
  routing.ids = routed_ ? memory.ids : nullptr;
  routing.weights = routed_ ? memory.weights : nullptr;
  routing.tokens = static_cast<int>(call.tokens);
  routing.top_k = static_cast<int>(call.top_k);
  routing.experts = static_cast<int>(first_.matrices);
  routing.tile_positions = call.first.positions;
  routing.first_position = memory.first_position;
  routing.position_of = memory.position_of;
  routing.token_of = memory.token_of;
  routing.weight_of = memory.weight_of;
  routing.token_tiles = memory.token_tiles;
  routing.token_tile_count = memory.token_tile_count;
  return routing;
}

void Layer::multiply(const ProductPlan& plan, const Product& product, const Projection& projection,
                     cudaStream_t stream) const {
  launch_product(plan, product, stream);
  check_launch(plan.kernel.name);
  if (projection.plain.bytes() == 0) return;
  launch_plain(plan, {product, projection.plain.as<PlainMatrix>()}, stream);
  check_launch("matrices that are not packed");
}

void Layer::launch(const Call& call, const Memory& memory, cudaStream_t stream) const {
  launch_terms({memory.input, call.in, call.tokens, first_.columns, call.terms, first_.pitch(), memory.terms},
               stream);
  check_launch("terms of activations");
  const Routing routes = routing(call, memory);
  launch_routing(routes, stream);
  check_launch("routing");
  Product p = product(call, memory, call.first, first_);
  p.x = memory.terms;
  p.row_of = routes.token_of;
  if (routed_) {
    p.input_weights = call.weights_on_input ? routes.weight_of : nullptr;
    p.gated = true;
    p.units = units_.as<Unit>();
    p.one_unit = one_unit_;
    p.hidden = memory.hidden;
    p.hidden_pitch = down_.pitch();
    if (down_.pitch() > first_.units) {  // columns of completion meet weights of 0, and must not be NaN
      check(
          cudaMemset2DAsync(p.hidden + first_.units, down_.pitch() * 2, 0, (down_.pitch() - first_.units) * 2,
                            call.slots * static_cast<std::size_t>(call.terms), stream),
          "clearing activations");
    }
  } else {
    p.out = memory.output;
    p.out_bytes = static_cast<int>(bytes_of(call.out));
    p.out_half = call.out == Dtype::f16;
  }
  multiply(call.first, p, first_, stream);
  if (!routed_) return;
  Product down = product(call, memory, call.down, down_);
  down.x = memory.hidden;
  down.out = memory.rows;
  down.out_bytes = 4;
  multiply(call.down, down, down_, stream);
  launch_combine({memory.rows, down_.units, routes.tokens, routes.top_k, routes.position_of,
                  call.weights_on_input ? nullptr : routes.weights, call.out, memory.output},
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
  call.memory = {call.first.token_tiles, call.first.partial_bytes(), call.first.counter_bytes()};
  if (!routed_) return call;
  shape.tiles = down_.tiles;
  call.down = plan_product(shape, gpu_->traits, call.first.kernel.name);  // of the same token tiles
  call.memory =
      larger(call.memory, {call.down.token_tiles, call.down.partial_bytes(), call.down.counter_bytes()});
  return call;
}

/// No call of up to so many tokens needs more than this one, which is not one to launch.
Layer::Call Layer::largest_call(std::size_t tokens, std::size_t top_k) const {
  Call call = {};
  call.tokens = std::min(tokens, kMostTokens);
  call.top_k = routed_ ? top_k : 1;
  call.slots = call.tokens * call.top_k;
  call.terms = 2;
  call.memory = most_memory(first_.tiles, first_.matrices, call.tokens, call.top_k);
  if (routed_)
    call.memory = larger(call.memory, most_memory(down_.tiles, down_.matrices, call.tokens, call.top_k));
  return call;
}

void Layer::reserve(DeviceQueue& queue, std::size_t tokens, std::size_t top_k) {
  if (tokens == 0 || outputs() == 0) return;
  dynamic_cast<Queue&>(queue).reserve(size_of(largest_call(tokens, top_k), false));
}

void Layer::forward(const DeviceCall& asked) {
  if (asked.activation != Activation::exact) {
    fail(ErrorCode::unsupported, "cuda: activations are exact, neither int8 nor mxfp8");
  }
  const std::size_t tokens = static_cast<std::size_t>(asked.x.elements()) / first_.columns;
  if (tokens == 0 || outputs() == 0) return;
  if (asked.queue == nullptr) return forward_here(asked, tokens);
  forward_in(dynamic_cast<Queue&>(*asked.queue), asked, tokens);
}

/// From memory of the processor's and to it.
void Layer::forward_here(const DeviceCall& asked, std::size_t tokens) {
  const DenseView& x = asked.x;
  const DeviceChoice& choice = asked.choice;
  const std::size_t in_row = first_.columns * bytes_of(x.dtype), out_row = outputs() * bytes_of(asked.dtype);
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
    gpu_->work.reserve(size_of(call, true), stream);
    Pieces pieces(gpu_->work.block());
    Memory memory = lay_out(pieces, call);
    const Staged staged = stage(pieces, call);
    memory.counters = gpu_->work.counters();
    memory.input = staged.input;
    memory.ids = staged.ids;
    memory.weights = staged.weights;
    memory.output = staged.output;
    stream.to_device(staged.input, in + first * in_row, call.tokens * in_row, "copying activations");
    if (routed_) {
      stream.to_device(staged.ids, choice.ids + first * call.top_k, call.slots * sizeof(std::int32_t),
                       "copying choices");
      stream.to_device(staged.weights, choice.weights + first * call.top_k, call.slots * sizeof(float),
                       "copying weights of choices");
    }
    launch(call, memory, stream.get());
    stream.to_host(out + first * out_row, staged.output, call.tokens * out_row, "copying results");
    stream.wait("a forward");
  }
}

/// All memory is the device's; nothing is waited for.
void Layer::forward_in(Queue& queue, const DeviceCall& asked, std::size_t tokens) {
  const DenseView& x = asked.x;
  const DeviceChoice& choice = asked.choice;
  const std::size_t in_row = first_.columns * bytes_of(x.dtype), out_row = outputs() * bytes_of(asked.dtype);
  if (!x.contiguous()) fail(ErrorCode::invalid_argument, "cuda: x has gaps; on a device it must have none");
  check_aligned("elements of x", x.data, bytes_of(x.dtype));
  check_aligned("elements of y", asked.y, bytes_of(asked.dtype));
  const Current current(gpu_->index);
  if (routed_ && choice.top_k == 0) return queue.stream().fill(asked.y, 0, tokens * out_row, "clearing y");
  for (std::size_t first = 0; first < tokens; first += kMostTokens) {
    const Call call = call_for(std::min(kMostTokens, tokens - first), asked);
    const Workspace& work = queue.work_for(size_of(call, false));
    Pieces pieces(work.block());
    Memory memory = lay_out(pieces, call);
    memory.counters = work.counters();
    memory.input = x.data + first * in_row;
    memory.output = static_cast<std::byte*>(asked.y) + first * out_row;
    if (routed_) {
      memory.ids = choice.ids + first * call.top_k;
      memory.weights = choice.weights == nullptr ? nullptr : choice.weights + first * call.top_k;
    }
    launch(call, memory, queue.stream().get());
  }
}

}  // namespace mxfp4::kernel::cuda
