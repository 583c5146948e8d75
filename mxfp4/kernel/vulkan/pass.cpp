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
  std::uint32_t first_expert, experts, first_row, rows, all_rows, blocks, x_first, x_pitch, top_k, slots,
      factors, with_bias;
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

}  // namespace

Pass::Pass(Gpu& gpu, const LayerWeights& weights, const PassKey& key)
    : weights_(weights),
      key_(key),
      shape_(weights.shape()),
      slots_(key.tokens * key.top_k),
      tile_(key.prefill ? kPrefillTile : key.tokens),
      tiles_(most_tiles(slots_, shape_.experts, tile_)),
      layout_(slots_, shape_.experts, tiles_),
      ids_at_(4),
      weights_at_(ids_at_ + slots_),
      x_at_((weights_at_ + slots_ + 3) / 4 * 4),
      in_words_(x_at_ + key.tokens * shape_.hidden),
      recording_(gpu, word(4 + weights.first.parts.size() + weights.second.parts.size() +
                           weights.down.parts.size())) {
  Memory& memory = gpu.memory();
  const auto floats = [&](std::size_t count) { return memory.buffer(count * sizeof(float), Place::device); };
  upload_ = memory.buffer(in_words_ * 4, Place::upload);
  download_ = memory.buffer(key.tokens * shape_.outputs * sizeof(float), Place::download);
  in_ = floats(in_words_);
  lists_ = floats(layout_.words);
  y_ = floats(key.tokens * shape_.outputs);
  if (shape_.routed()) {
    first_ = floats(slots_ * weights.first.rows);
    second_ = floats(slots_ * weights.second.rows);
    activated_ = floats(slots_ * shape_.middle);
    down_ = floats(slots_ * shape_.outputs);
  } else {
    lists_upload_ = memory.buffer(layout_.words * 4, Place::upload);
  }
  record();
}

void Pass::record() {
  recording_.copy(upload_, in_, in_words_ * 4);
  if (shape_.routed()) {
    record_experts();
  } else {
    recording_.copy(lists_upload_, lists_, layout_.words * 4);
    recording_.barrier();
    record_product(weights_.first, in_, x_at_, 1, false, y_);
  }
  recording_.barrier();
  recording_.copy(y_, download_, key_.tokens * shape_.outputs * sizeof(float));
  recording_.barrier();
  recording_.end();
}

void Pass::record_product(const Stack& stack, const Buffer& x, std::size_t x_first, std::size_t top_k,
                          bool factors, const Buffer& y) {
  for (const Stack::Part& part : stack.parts) {
    const WeightRange& range = part.range;
    const ProductArguments arguments = {word(range.first_expert),
                                        word(range.experts),
                                        word(range.first_row),
                                        word(range.rows),
                                        word(stack.rows),
                                        word(stack.blocks),
                                        word(x_first / 4),
                                        word(stack.blocks * 8),
                                        word(top_k),
                                        word(layout_.slots),
                                        factors ? word(layout_.factors) : 0,
                                        stack.with_bias};
    const Shader shader = key_.prefill ? Shader::prefill : Shader::decode;
    recording_.dispatch(shader, key_.prefill ? 0 : word(tile_),
                        {{part.codes}, {part.scales}, {stack.bias}, {x}, {lists_}, {y}}, arguments,
                        groups(range.rows, key_.prefill ? kPrefillRows : kDecodeRows), word(tiles_));
  }
}

void Pass::record_experts() {
  recording_.barrier();
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
  recording_.barrier();
  record_product(weights_.first, in_, x_at_, key_.top_k, key_.weights_on_input, first_);
  record_product(weights_.second, in_, x_at_, key_.top_k, key_.weights_on_input, second_);
  recording_.barrier();
  const UnitArguments unit = {word(weights_.down.columns), word(shape_.middle), weights_.second.experts == 0,
                              weights_.one_unit, word(layout_.experts_of)};
  recording_.dispatch(Shader::unit, 0, {{first_}, {second_}, {weights_.units}, {lists_}, {activated_}}, unit,
                      groups(shape_.middle, 64), word(slots_));
  recording_.barrier();
  record_product(weights_.down, activated_, 0, 0, false, down_);
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
  const auto columns = static_cast<std::size_t>(call.x.shape.back());
  *upload_.mapped<std::uint32_t>() = word(count);
  if (shape_.routed()) {
    const std::size_t slots = count * key_.top_k, from = first * key_.top_k;
    std::memcpy(upload_.mapped<std::int32_t>(ids_at_ * 4), call.choice.ids + from, slots * 4);
    std::memcpy(upload_.mapped<float>(weights_at_ * 4), call.choice.weights + from, slots * 4);
  } else {
    write_lists(count);
  }
  for (std::size_t row = 0; row < count; ++row) {
    float* const to = upload_.mapped<float>((x_at_ + row * shape_.hidden) * 4);
    const auto at = static_cast<std::int64_t>(first + row);
    copy_rows_f32(call.x, at, at + 1, to);
    std::fill(to + columns, to + shape_.hidden, 0.0f);
  }
  recording_.run();
  const std::size_t row_bytes = shape_.outputs * static_cast<std::size_t>(bits_of(call.dtype)) / 8;
  auto* const y = static_cast<std::byte*>(call.y);
  for (std::size_t row = 0; row < count; ++row) {
    write_f32(download_.mapped<float>(row * shape_.outputs * 4), shape_.outputs, call.dtype,
              y + (first + row) * row_bytes);
  }
}

}  // namespace mxfp4::kernel::vulkan
