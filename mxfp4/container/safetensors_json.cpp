#include <cstdint>
#include <limits>
#include <optional>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/container/safetensors_internal.h"

namespace mxfp4::safetensors {
namespace {

// Receives the events of a header's JSON. What may not come next ends the parse with an Error.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view path) : path_(path) {}

  Header take() { return std::move(header_); }

  bool null() { return other("null"); }
  bool boolean(bool value) { return other(value ? "true" : "false"); }
  // The parser gives non-negative integers to number_unsigned, those of more than 64 bits to number_float.
  bool number_integer(std::int64_t value) {
    return other("-" + std::to_string(0 - static_cast<std::uint64_t>(value)));
  }
  bool number_float(double, const std::string& text) { return other(shown(text)); }
  bool number_unsigned(std::uint64_t value);
  bool string(const std::string& value);
  bool binary(nlohmann::json::binary_t&) { return other("binary data"); }
  bool start_object(std::size_t);
  bool key(const std::string& key);
  bool end_object();
  bool start_array(std::size_t);
  bool end_array();
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& error);

 private:
  // What the next value is. An ignored one may have others inside; they are ignored, too.
  enum class Next { tensor, dtype, shape, size, offsets, offset, metadata, note, ignored };
  enum class Object { none, header, tensor, metadata };

  Entry& entry() { return header_.entries.back(); }
  std::string where() const;
  bool other(std::string_view value) const;

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::corrupt_file, "{}: {}{}", path_, where(),
         fmt::format(format, std::forward<Args>(args)...));
  }

  // The next value is a field of an entry, which must not have had it yet.
  void field(Next next, std::string_view name, bool& seen) {
    if (seen) refuse("'{}' stands twice", name);
    seen = true;
    next_ = next;
  }

  std::string_view path_;
  Header header_;
  Next next_ = Next::ignored;
  Object object_ = Object::none;   // the innermost that is open, ignored ones apart
  std::size_t ignored_depth_ = 0;  // objects and arrays that are open inside an ignored value
  bool has_metadata_ = false;
  std::string note_;  // key in the metadata
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  std::size_t offsets_ = 0;
};

std::string HeaderReader::where() const {
  if (object_ == Object::metadata) return fmt::format("{}: ", kMetadataKey);
  if (object_ == Object::tensor)
    return fmt::format("tensor '{}': ", shown(header_.entries.back().tensor.name));
  return "";
}

// A value that is right only where every value is.
bool HeaderReader::other(std::string_view value) const {
  switch (next_) {
    case Next::ignored:
      return true;
    case Next::tensor:
      refuse("tensor '{}' is {}, not an object", shown(header_.entries.back().tensor.name), value);
    case Next::dtype:
      refuse("dtype is {}, not a string", value);
    case Next::shape:
      refuse("shape is {}, not an array", value);
    case Next::size:
      refuse("shape holds {}, which is not an integer from 0 to 2^63 - 1", value);
    case Next::offsets:
      refuse("data_offsets is {}, not an array", value);
    case Next::offset:
      refuse("data_offsets holds {}, which is not an integer from 0 to 2^64 - 1", value);
    case Next::metadata:
      refuse("{} is {}, not an object of strings", kMetadataKey, value);
    case Next::note:
      refuse("'{}' is {}, not a string", shown(note_), value);
  }
  return false;
}

bool HeaderReader::number_unsigned(std::uint64_t value) {
  if (next_ == Next::size && value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    entry().tensor.shape.push_back(static_cast<std::int64_t>(value));
    return true;
  }
  if (next_ != Next::offset) return other(std::to_string(value));
  if (offsets_ < 2) (offsets_ == 0 ? entry().begin : entry().end) = value;
  ++offsets_;
  return true;
}

bool HeaderReader::string(const std::string& value) {
  if (next_ == Next::note) {
    header_.metadata.emplace(note_, value);
    return true;
  }
  if (next_ != Next::dtype) return other("a string");
  const std::optional<Dtype> dtype = parse_dtype(value);
  if (!dtype) refuse("dtype '{}' is unknown", shown(value));
  entry().tensor.dtype = *dtype;
  return true;
}

bool HeaderReader::start_object(std::size_t) {
  if (object_ == Object::none) {
    object_ = Object::header;
  } else if (next_ == Next::metadata) {
    object_ = Object::metadata;
  } else if (next_ == Next::tensor) {
    object_ = Object::tensor;
    has_dtype_ = has_shape_ = has_offsets_ = false;
  } else {
    other("an object");
    ++ignored_depth_;
  }
  return true;
}

bool HeaderReader::key(const std::string& key) {
  if (ignored_depth_ > 0) return true;
  if (object_ == Object::header && key == kMetadataKey) {
    field(Next::metadata, key, has_metadata_);
  } else if (object_ == Object::header) {
    header_.entries.push_back({{key, Dtype::u8, {}, {}}, 0, 0});
    next_ = Next::tensor;
  } else if (object_ == Object::metadata) {
    if (header_.metadata.count(key) != 0) refuse("'{}' stands twice", shown(key));
    note_ = key;
    next_ = Next::note;
  } else if (key == "dtype") {
    field(Next::dtype, key, has_dtype_);
  } else if (key == "shape") {
    field(Next::shape, key, has_shape_);
  } else if (key == "data_offsets") {
    field(Next::offsets, key, has_offsets_);
  } else {
    next_ = Next::ignored;
  }
  return true;
}

bool HeaderReader::end_object() {
  if (ignored_depth_ > 0) {
    --ignored_depth_;
    return true;
  }
  if (object_ == Object::tensor) {
    if (!has_dtype_) refuse("dtype is missing");
    if (!has_shape_) refuse("shape is missing");
    if (!has_offsets_) refuse("data_offsets is missing");
  }
  object_ = Object::header;
  return true;
}

bool HeaderReader::start_array(std::size_t) {
  if (next_ == Next::shape) {
    next_ = Next::size;
  } else if (next_ == Next::offsets) {
    next_ = Next::offset;
    offsets_ = 0;
  } else {
    other("an array");
    ++ignored_depth_;
  }
  return true;
}

bool HeaderReader::end_array() {
  if (ignored_depth_ > 0) {
    --ignored_depth_;
  } else if (next_ == Next::offset && offsets_ != 2) {
    refuse("data_offsets holds {} numbers, not 2", offsets_);
  }
  return true;
}

bool HeaderReader::parse_error(std::size_t position, const std::string&,
                               const nlohmann::json::exception& error) {
  // "[id] parse error at line 1, column 2: REASON; last read: 'all of the token'", or "[id] REASON".
  std::string_view reason = error.what();
  reason = reason.substr(0, reason.find("; last read: "));
  for (const std::string_view mark : {"] ", ": "}) {
    if (const std::size_t at = reason.find(mark); at != reason.npos) reason.remove_prefix(at + mark.size());
  }
  fail(ErrorCode::corrupt_file, "{}: the header is not JSON at its byte {}: {}", path_, position - 1,
       reason.substr(0, 200));
}

}  // namespace

Header parse_header(std::string_view json, std::string_view path) {
  if (json.empty()) fail(ErrorCode::corrupt_file, "{}: the header is empty", path);
  if (json[0] != '{') {
    fail(ErrorCode::corrupt_file, "{}: the header begins with byte {:#04x}, not with '{{'", path,
         static_cast<unsigned char>(json[0]));
  }
  // The parser takes a zero byte for the end of its input.
  const std::size_t zero = json.find('\0');
  if (zero != json.npos) {
    fail(ErrorCode::corrupt_file, "{}: the header is not JSON at its byte {}: a zero byte", path, zero);
  }
  HeaderReader reader(path);
  nlohmann::json::sax_parse(json, &reader);
  return reader.take();
}

}  // namespace mxfp4::safetensors
