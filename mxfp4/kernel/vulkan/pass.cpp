// A forward pass as a command buffer: what comes up, products and what stands between them, what goes down.
#include <algorithm>
#include <bit>
#include <cstring>

#include "mxfp4/kernel/vulkan/layer.h"

namespace mxfp4::kernel::vulkan {
namespace {

std::uint32_t word(std::size_t value) noexcept {
  return static_cast<std::uint32_t>(value);
}

std::uint32_t groups(std::size_t items, std::size_t of) noexcept {
  return word((items + of - 1) / of);
}

struct ProductArguments {  // as product.glsl has them
  std::uint32_t first_expert, experts, first_row, rows, all_rows, blocks, top_k, slots, factors, with_bias,
      by_slot;
};

struct EncodeArguments {  // as encode.comp has them
  std::uint32_t first, dtype, columns, blocks, activation, count_at, rows_each;
};

struct LogitsArguments {  // as logits.comp has them
  std::uint32_t first, dtype, columns, experts, with_bias;
};

struct ChooseArguments {  // as choose.comp has them
  std::uint32_t experts, top_k, ids, weights, chosen, score, renormalize, with_correction, groups, top_groups;
  float factor;
};

struct RouteArguments {  // as route.comp has them
  std::uint32_t experts, top_k, tile, ids, weights, slots, experts_of, factors, routes, counts;
};

struct UnitArguments {  // as unit.comp has them
  std::uint32_t columns, pitch, alternate, one_unit, experts_of;
};

struct CombineArguments {  // as combine.comp has them
  std::uint32_t columns, top_k, weights, routes;
};

/// As elements.glsl numbers them.
std::uint32_t number_of(Dtype dtype) noexcept {
  return dtype == Dtype::f32 ? 0 : dtype == Dtype::bf16 ? 1 : 2;
}

Shader product_for(const PassKey& key, bool integer_dot) noexcept {
  if (key.activation != Activation::int8) return key.prefill ? Shader::prefill : Shader::decode;
  if (integer_dot) return key.prefill ? Shader::prefill_dot : Shader::decode_dot;
  return key.prefill ? Shader::prefill_int8 : Shader::decode_int8;
}

/// Words of rows as encode.comp writes them.
std::size_t encoded_words(const PassKey& key, std::size_t columns) noexcept {
  return key.activation == Activation::int8 ? columns / 32 * 9 : columns;
}

}  // namespace

Pass::Pass(Gpu& gpu, const LayerWeights& weights, const PassKey& key)
    : weights_(weights),
      key_(key),
      shape_(weights.shape()),
      columns_(weights.first.columns),
      element_bytes_(static_cast<std::size_t>(bits_of(key.dtype)) / 8),
      slots_(key.tokens * key.top_k),
      rows_in_(key.row_each ? slots_ : key.tokens),
      rows_out_(shape_.rows(key.tokens, slots_)),
      tile_(key.prefill ? kPrefillTile : key.tokens),
      tiles_(most_tiles(slots_, shape_.experts, tile_)),
      product_(product_for(key, gpu.traits().integer_dot)),
      layout_(slots_, shape_.experts, tiles_),
      ids_at_(4),
      weights_at_(ids_at_ + slots_),
      x_at_((weights_at_ + slots_ + 3) / 4 * 4),
      in_words_(x_at_ + (rows_in_ * columns_ * element_bytes_ + 3) / 4),
      recording_(gpu, word(8 + weights.first.parts.size() + weights.second.parts.size() +
                           weights.down.parts.size())) {
  Memory& memory = gpu.memory();
  const auto words = [&](std::size_t count) { return memory.buffer(count * 4, Place::device); };
  upload_ = memory.buffer(in_words_ * 4, Place::upload);
  download_ = memory.buffer(rows_out_ * shape_.outputs * 4, Place::download);
  in_ = words(in_words_);
  if (key.routed != Routed::by_call) logits_ = words(key.tokens * shape_.experts);
  lists_ = words(layout_.words);
  x_ = words(rows_in_ * encoded_words(key, shape_.hidden));
  y_ = words(rows_out_ * shape_.outputs);
  if (shape_.kind == LayerKind::experts) {
    first_ = words(slots_ * weights.first.rows);
    second_ = words(slots_ * weights.second.rows);
    activated_ = words(slots_ * shape_.middle);
    if (key.activation != Activation::exact) middle_ = words(slots_ * encoded_words(key, shape_.middle));
    down_ = words(slots_ * shape_.outputs);
  } else if (shape_.kind == LayerKind::linear) {
    lists_upload_ = memory.buffer(layout_.words * 4, Place::upload);
  }
  record();
}

void Pass::record() {
  recording_.copy(upload_, in_, in_words_ * 4);
  if (shape_.kind == LayerKind::linear) recording_.copy(lists_upload_, lists_, layout_.words * 4);
  if (shape_.kind == LayerKind::gather) recording_.fill(y_, 0);  // what nobody writes
  recording_.barrier();
  if (key_.routed != Routed::by_call) record_router();
  record_encode(in_, x_at_, key_.dtype, weights_.first, in_, 0, x_);
  if (shape_.kind != LayerKind::linear) record_route();
  recording_.barrier();
  if (shape_.kind == LayerKind::experts) {
    record_experts();
  } else {
    record_product(weights_.first, x_, key_.row_each ? 1 : key_.top_k, y_);
  }
  recording_.barrier();
  recording_.copy(y_, download_, rows_out_ * shape_.outputs * 4);
  recording_.barrier();
  recording_.end();
}

void Pass::record_encode(const Buffer& from, std::size_t first, Dtype dtype, const Stack& stack,
                         const Buffer& counts, std::size_t count_at, const Buffer& to) {
  const bool of_x = &from == &in_;
  const EncodeArguments arguments = {word(first),
                                     number_of(dtype),
                                     word(of_x ? stack.columns : stack.blocks * 32),
                                     word(stack.blocks),
                                     static_cast<std::uint32_t>(key_.activation),
                                     word(count_at),
                                     word(of_x && key_.row_each ? key_.top_k : 1)};
  recording_.dispatch(Shader::encode, 0, {{from}, {counts}, {to}}, arguments, word(stack.blocks / 2),
                      word(of_x ? rows_in_ : slots_));
}

void Pass::record_product(const Stack& stack, const Buffer& x, std::size_t top_k, const Buffer& y) {
  const bool factors = &stack != &weights_.down && key_.weights_on_input;
  for (const Stack::Part& part : stack.parts) {
    const WeightRange& range = part.range;
    const ProductArguments arguments = {word(range.first_expert),
                                        word(range.experts),
                                        word(range.first_row),
                                        word(range.rows),
                                        word(stack.rows),
                                        word(stack.blocks),
                                        word(top_k),
                                        word(layout_.slots),
                                        factors ? word(layout_.factors) : 0,
                                        stack.with_bias,
                                        shape_.kind == LayerKind::gather};
    recording_.dispatch(product_, key_.prefill ? 0 : word(tile_),
                        {{part.codes}, {part.scales}, {stack.bias}, {x}, {lists_}, {y}}, arguments,
                        groups(range.rows, key_.prefill ? kPrefillRows : kDecodeRows), word(tiles_));
  }
}

void Pass::record_router() {
  const RouterWeights& router = weights_.router;
  const RouterOptions& options = router.options;
  const LogitsArguments logits = {word(x_at_), number_of(key_.dtype), word(columns_), word(shape_.experts),
                                  router.with_bias};
  recording_.dispatch(Shader::logits, 0, {{in_}, {router.weight}, {router.bias}, {logits_}}, logits,
                      groups(shape_.experts, 8), word(key_.tokens));
  recording_.barrier();
  const ChooseArguments choose = {word(shape_.experts),
                                  word(key_.top_k),
                                  word(ids_at_),
                                  word(weights_at_),
                                  key_.routed == Routed::weighed,
                                  static_cast<std::uint32_t>(options.score),
                                  options.renormalize,
                                  !options.correction.empty(),
                                  static_cast<std::uint32_t>(options.groups),
                                  static_cast<std::uint32_t>(options.top_groups),
                                  options.factor};
  recording_.dispatch(Shader::choose, 0, {{logits_}, {router.correction}, {in_}}, choose, word(key_.tokens));
  recording_.barrier();
}

void Pass::record_route() {
  const RouteArguments route = {word(shape_.experts),
                                word(key_.top_k),
                                word(tile_),
                                word(ids_at_),
                                word(weights_at_),
                                word(layout_.slots),
                                word(layout_.experts_of),
                                word(layout_.factors),
                                word(layout_.routes),
                                word(layout_.counts)};
  recording_.dispatch(Shader::route, 0, {{in_}, {lists_}}, route, 1);
}

void Pass::record_experts() {
  record_product(weights_.first, x_, key_.top_k, first_);
  record_product(weights_.second, x_, key_.top_k, second_);
  recording_.barrier();
  const UnitArguments unit = {word(weights_.down.columns), word(shape_.middle), weights_.second.experts == 0,
                              weights_.one_unit, word(layout_.experts_of)};
  recording_.dispatch(Shader::unit, 0, {{first_}, {second_}, {weights_.units}, {lists_}, {activated_}}, unit,
                      groups(shape_.middle, 64), word(slots_));
  recording_.barrier();
  const bool encoded = key_.activation != Activation::exact;
  if (encoded) {
    record_encode(activated_, 0, Dtype::f32, weights_.down, lists_, 1, middle_);
    recording_.barrier();
  }
  record_product(weights_.down, encoded ? middle_ : activated_, 0, down_);
  recording_.barrier();
  const CombineArguments combine = {word(shape_.outputs), word(key_.top_k),
                                    key_.weights_on_input ? 0 : word(weights_at_), word(layout_.routes)};
  recording_.dispatch(Shader::combine, 0, {{down_}, {in_}, {lists_}, {y_}}, combine,
                      groups(shape_.outputs, 64), word(key_.tokens));
}

/// Of a Linear layer: one expert, to which every token goes.
void Pass::write_lists(std::size_t count) {
  auto* const lists = lists_upload_.mapped<std::uint32_t>();
  std::uint32_t tiles = 0;
  for (std::size_t first = 0; first < count; first += tile_, ++tiles) {
    std::uint32_t* const tile = lists + kListTiles + 3 * tiles;
    tile[0] = 0;
    tile[1] = word(first);
    tile[2] = word(std::min(tile_, count - first));
  }
  lists[0] = tiles;
  lists[1] = word(count);
  for (std::size_t slot = 0; slot < count; ++slot) lists[layout_.slots + slot] = word(slot);
}

void Pass::run(const DeviceCall& call, std::size_t first, std::size_t count) {
  *upload_.mapped<std::uint32_t>() = word(count);
  const std::size_t slots = count * key_.top_k, from = first * key_.top_k;
  if (shape_.kind == LayerKind::linear) {
    write_lists(count);
  } else if (key_.routed != Routed::chosen) {
    std::memcpy(upload_.mapped<std::int32_t>(ids_at_ * 4), call.choice.ids + from, slots * 4);
  }
  if (shape_.kind == LayerKind::experts && key_.routed == Routed::by_call) {
    std::memcpy(upload_.mapped<float>(weights_at_ * 4), call.choice.weights + from, slots * 4);
  }
  const std::size_t in = key_.row_each ? slots : count, first_in = key_.row_each ? from : first;
  copy_rows(call.x, static_cast<std::int64_t>(first_in), static_cast<std::int64_t>(first_in + in),
            upload_.mapped<std::byte>(x_at_ * 4));
  recording_.run();
  const std::size_t out = shape_.rows(count, slots), first_out = shape_.rows(first, from);
  const std::size_t row_bytes = shape_.outputs * static_cast<std::size_t>(bits_of(call.dtype)) / 8;
  write_f32(download_.mapped<float>(), out * shape_.outputs, call.dtype,
            static_cast<std::byte*>(call.y) + first_out * row_bytes);
}

}  // namespace mxfp4::kernel::vulkan
