#include "mxfp4/container/uqff.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "mxfp4/base/byte_reader_internal.h"
#include "mxfp4/container/safetensors_internal.h"

namespace mxfp4::uqff {
namespace {

constexpr std::uint32_t kMaxRank = 8;

struct BlobDtype {
  std::uint32_t number;
  Dtype dtype;
};
constexpr BlobDtype kDtypes[] = {
    {0, Dtype::u8},   {1, Dtype::u32}, {2, Dtype::i32}, {3, Dtype::i64}, {4, Dtype::f16},
    {5, Dtype::bf16}, {6, Dtype::f32}, {7, Dtype::f64}, {8, Dtype::i16}, {9, Dtype::f8_e4m3},
};

class Reader : public ByteReader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view where) : ByteReader(bytes, where, "blob") {}

  StoredTensor tensor(std::string_view what) {
    StoredTensor tensor;
    const auto size = number<std::uint32_t>(what);
    const auto type = number<std::uint32_t>(what);
    const auto* const found = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                           [&](const BlobDtype& known) { return known.number == type; });
    if (found == std::end(kDtypes)) corrupt("{} have dtype {}, which is unknown", what, type);
    tensor.dtype = found->dtype;
    const auto rank = number<std::uint32_t>(what);
    if (rank > kMaxRank) corrupt("{} have {} dimensions", what, rank);
    for (std::uint32_t d = 0; d < rank; ++d) tensor.shape.push_back(number<std::uint32_t>(what));
    const std::optional<std::uint64_t> expected = byte_size(tensor.dtype, tensor.shape);
    if (expected != size) {
      corrupt("{} of dtype {} and shape {} have {} bytes", what, to_string(tensor.dtype),
              to_string(tensor.shape), size);
    }
    tensor.bytes = take(size, what);
    return tensor;
  }

  void expect_end() const {
    if (left() > 0) corrupt("{} bytes follow the layer", left());
  }
};

template <class Number>
void put(std::string& bytes, Number value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Appends what stands before a tensor's data to `head`; the data's size.
std::uint64_t put_tensor(std::string& head, Dtype dtype, const Shape& shape) {
  const std::optional<std::uint64_t> size = byte_size(dtype, shape);
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  const bool too_long = std::any_of(shape.begin(), shape.end(),
                                    [](std::int64_t dimension) { return dimension > std::int64_t{kMost}; });
  if (!size || *size > kMost || too_long) {
    fail(ErrorCode::invalid_argument, "a blob's tensor of shape {} cannot have more than {} bytes",
         to_string(shape), kMost);
  }
  const auto* const known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                         [&](const BlobDtype& one) { return one.dtype == dtype; });
  if (known == std::end(kDtypes))
    fail(ErrorCode::invalid_argument, "blobs have no tensors of dtype {}", to_string(dtype));
  put(head, static_cast<std::uint32_t>(*size));
  put(head, known->number);
  put(head, static_cast<std::uint32_t>(shape.size()));
  for (const std::int64_t dimension : shape) put(head, static_cast<std::uint32_t>(dimension));
  return *size;
}

bool is_number(std::string_view name) {
  return !name.empty() && name.size() <= 9 && name.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

void check_version(const Version& version, const Version& known, std::string_view where) {
  if (version[0] == known[0] && version[1] <= known[1]) return;
  fail(ErrorCode::unsupported, "{}: UQFF version {} is not read, of {}.x only up to {}.{}", where,
       fmt::join(version, "."), known[0], known[0], known[1]);
}

Layer read_layer(std::span<const std::byte> blob, std::string_view where) {
  Reader reader(blob, where);
  Layer layer;
  const auto version = reader.number<std::uint32_t>("the version");
  layer.version = {version >> 16, version >> 8 & 0xFF, version & 0xFF};
  check_version(layer.version, kBlobVersion, where);
  const auto format = reader.number<std::uint8_t>("the format");
  if (format != kMxfp4) {
    fail(ErrorCode::unsupported, "{}: the layer has format {}, not {}, MXFP4", where, format, kMxfp4);
  }
  const auto has_bias = reader.number<std::uint8_t>("the mark of a bias");
  if (has_bias > 1) reader.corrupt("the mark of a bias is {}, neither 0 nor 1", has_bias);
  const StoredTensor codes = reader.tensor("codes"), scales = reader.tensor("scales");
  for (const StoredTensor& tensor : {codes, scales}) {
    if (tensor.dtype != Dtype::u8)
      reader.corrupt("codes and scales have dtype {}, not U8", to_string(tensor.dtype));
  }
  Shape expected = scales.shape;
  if (!expected.empty()) expected.back() *= kBlockSize / 2;
  if (expected.size() < 2 || codes.shape != expected) {
    reader.corrupt("codes of shape {} do not fit scales of shape {}", to_string(codes.shape),
                   to_string(scales.shape));
  }
  if (has_bias != 0) {
    layer.bias = reader.tensor("biases");
    expected.pop_back();
    if (!is_dense_float(layer.bias->dtype) || layer.bias->shape != expected) {
      reader.corrupt("biases are {} of shape {}, but the layer has {} rows", to_string(layer.bias->dtype),
                     to_string(layer.bias->shape), to_string(expected));
    }
  }
  reader.expect_end();
  layer.weight.codes = reinterpret_cast<const std::uint8_t*>(codes.bytes.data());
  layer.weight.scales = reinterpret_cast<const std::uint8_t*>(scales.bytes.data());
  layer.weight.shape = scales.shape;
  layer.weight.shape.back() *= kBlockSize;
  layer.code_bytes = codes.bytes;
  layer.scale_bytes = scales.bytes;
  return layer;
}

BlobLayout layout_blob(const Shape& shape, std::optional<Dtype> bias) {
  if (shape.size() < 2 || shape.back() % kBlockSize != 0) {
    fail(ErrorCode::invalid_argument, "a layer of shape {} has no rows of whole blocks of {}",
         to_string(shape), kBlockSize);
  }
  Shape codes = shape, scales = shape, rows = shape;
  codes.back() /= 2;
  scales.back() /= kBlockSize;
  rows.pop_back();
  BlobLayout layout;
  std::string head;
  const auto place = [&](std::uint64_t& at, Dtype dtype, const Shape& its_shape) {
    const std::uint64_t size = put_tensor(head, dtype, its_shape);
    layout.heads.emplace_back(layout.size, head);
    at = layout.size + head.size();
    layout.size = at + size;
    head.clear();
  };
  put(head, kBlobVersion[0] << 16 | kBlobVersion[1] << 8 | kBlobVersion[2]);
  put(head, kMxfp4);
  put(head, static_cast<std::uint8_t>(bias.has_value()));
  place(layout.codes, Dtype::u8, codes);
  place(layout.scales, Dtype::u8, scales);
  if (bias) place(layout.bias, *bias, rows);
  return layout;
}

std::string write_layer(const Mxfp4View& weight, const DenseView& bias) {
  if (weight.block_size != kBlockSize || weight.order != NibbleOrder::interleaved) {
    fail(ErrorCode::invalid_argument, "UQFF holds interleaved codes in blocks of {}, not of {}", kBlockSize,
         weight.block_size);
  }
  const BlobLayout layout =
      layout_blob(weight.shape, bias.data == nullptr ? std::nullopt : std::optional(bias.dtype));
  const auto row_shape = std::span(weight.shape).first(weight.shape.size() - 1);
  if (bias.data != nullptr &&
      (!bias.contiguous() || !is_dense_float(bias.dtype) || !std::ranges::equal(bias.shape, row_shape))) {
    fail(ErrorCode::invalid_argument, "a bias that is {} of shape {} does not fit a layer of shape {}",
         to_string(bias.dtype), to_string(bias.shape), to_string(weight.shape));
  }
  std::string blob(layout.size, '\0');
  for (const auto& [at, head] : layout.heads)
    std::copy(head.begin(), head.end(), blob.begin() + static_cast<std::ptrdiff_t>(at));
  const auto copy = [&](std::uint64_t at, const void* from, std::int64_t size) {
    if (size > 0) std::memcpy(blob.data() + at, from, static_cast<std::size_t>(size));
  };
  copy(layout.codes, weight.codes, weight.code_bytes());
  copy(layout.scales, weight.scales, weight.scale_bytes());
  if (bias.data != nullptr) copy(layout.bias, bias.data, bias.elements() * bits_of(bias.dtype) / 8);
  return blob;
}

bool holds_blobs(const std::vector<StoredTensor>& tensors) {
  return !tensors.empty() && std::all_of(tensors.begin(), tensors.end(), [](const StoredTensor& tensor) {
    return is_number(tensor.name) && tensor.dtype == Dtype::u8 && tensor.shape.size() == 1;
  });
}

TensorFile open(const std::filesystem::path& path) {
  MappedFile map(path);
  safetensors::Content content = safetensors::read(map.bytes(), path.native());
  if (holds_blobs(content.tensors)) {
    std::vector<StoredTensor> parts;
    for (const StoredTensor& tensor : content.tensors) {
      const Layer layer = read_layer(tensor.bytes, fmt::format("{}: layer '{}'", path.native(), tensor.name));
      Shape codes = layer.weight.shape, scales = layer.weight.shape;
      codes.back() /= 2;
      scales.back() /= kBlockSize;
      parts.push_back({tensor.name + kWeight, Dtype::u8, codes, layer.code_bytes, {}});
      parts.push_back({tensor.name + kScales, Dtype::u8, scales, layer.scale_bytes, {}});
      if (layer.bias)
        parts.push_back({tensor.name + kBias, layer.bias->dtype, layer.bias->shape, layer.bias->bytes, {}});
      content.metadata[kBlobVersionKey] = fmt::format("{}", fmt::join(layer.version, "."));
    }
    content.tensors = std::move(parts);
  }
  return {std::move(map), std::move(content.tensors), std::move(content.metadata)};
}

}  // namespace mxfp4::uqff
