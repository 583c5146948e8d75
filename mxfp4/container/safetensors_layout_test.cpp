#include <cstdint>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/container/test_safetensors_bytes.h"

namespace mxfp4::safetensors {
namespace {

namespace fs = std::filesystem;

Layout layout_of(const std::vector<TensorSpec>& specs,
                 const std::map<std::string, std::string>& metadata = {}) {
  return layout(specs, metadata);
}

void expect_refused(const std::vector<TensorSpec>& specs, const std::map<std::string, std::string>& metadata,
                    const std::string& message) {
  try {
    layout(specs, metadata);
    ADD_FAILURE() << "nothing was thrown; expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.what(), message);
  }
}

// Lays the tensors of a file out again, in another order, and compares with the bytes that the package wrote.
void expect_the_same_bytes(const fs::path& path) {
  const TensorFilePtr file = open(path);
  std::vector<const StoredTensor*> tensors;
  for (const StoredTensor& tensor : file->tensors) tensors.push_back(&tensor);
  std::shuffle(tensors.begin(), tensors.end(), std::mt19937(1));
  std::vector<TensorSpec> specs;
  for (const StoredTensor* tensor : tensors) specs.push_back({tensor->name, tensor->dtype, tensor->shape});
  const Layout layout = layout_of(specs, file->metadata);
  const auto bytes = file->map.bytes();
  ASSERT_EQ(layout.size, bytes.size()) << path;
  EXPECT_EQ(layout.head, std::string(reinterpret_cast<const char*>(bytes.data()), layout.head.size()))
      << path;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(bytes.data() + layout.offsets[i], tensors[i]->bytes.data()) << path << " " << specs[i].name;
  }
}

TEST(SafetensorsLayout, IsThatOfThePackage) {
  expect_the_same_bytes(fs::path(MXFP4_TEST_DATA) / "safetensors-files/written.safetensors");
  for (const char* shard : {"1", "2", "3"}) {
    expect_the_same_bytes(fs::path(MXFP4_TEST_DATA) / "models/tiny-gpt-oss/hf-mxfp4" /
                          ("model-0000" + std::string(shard) + "-of-00003.safetensors"));
  }
}

TEST(SafetensorsLayout, PutsMetadataFirstThenWideDtypesThenNames) {
  const Layout result =
      layout_of({{"b", Dtype::u8, {3}}, {"a", Dtype::u8, {1}}, {"z", Dtype::f32, {}}}, {{"format", "pt"}});
  EXPECT_EQ(
      result.head.substr(8),
      R"({"__metadata__":{"format":"pt"},"z":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},"b":{"dtype":"U8","shape":[3],"data_offsets":[5,8]}}    )");
  const std::uint64_t data = result.head.size();
  EXPECT_EQ(result.offsets, (std::vector{data + 5, data + 4, data}));
  EXPECT_EQ(result.size, data + 8);
}

TEST(SafetensorsLayout, PadsTheHeaderToEightBytes) {
  for (std::size_t length = 0; length < 20; ++length) {
    const Layout result = layout_of({{std::string(length, 'n'), Dtype::u8, {1}}});
    EXPECT_EQ(result.head.size() % 8, 0u);
    EXPECT_EQ(static_cast<std::uint8_t>(result.head[0]), result.head.size() - 8);
  }
}

TEST(SafetensorsLayout, OfNothingIsAnEmptyObject) {
  const Layout result = layout_of({});
  EXPECT_EQ(result.head, std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  EXPECT_EQ(result.size, 16u);
}

TEST(SafetensorsLayout, WritesNamesThatReadBackTheSame) {
  const std::vector<std::string> names = {"", "\"\\/", std::string("\0\n\x1f\x7f", 4),
                                          "\u00E9\u20AC\U0001F600", "{}:,"};
  std::vector<TensorSpec> specs;
  for (const std::string& name : names) specs.push_back({name, Dtype::u8, {0}});
  const Layout result = layout_of(specs, {{names[2], names[3]}, {names[1], ""}});
  const Content content = read(std::as_bytes(std::span(result.head)), "PATH");
  std::set<std::string> found;
  for (const StoredTensor& tensor : content.tensors) found.insert(tensor.name);
  EXPECT_EQ(found, std::set<std::string>(names.begin(), names.end()));
  EXPECT_EQ(content.metadata, (std::map<std::string, std::string>{{names[2], names[3]}, {names[1], ""}}));
}

TEST(SafetensorsLayout, RefusesTextThatIsNotUtf8) {
  const std::string message = "a safetensors header is UTF-8, and cannot hold ";
  expect_refused({{"a\xff", Dtype::u8, {1}}}, {}, message + "\"a\uFFFD\"");
  expect_refused({}, {{"a", "\xed\xa0\x80"}}, message + "{\"a\":\"\uFFFD\uFFFD\uFFFD\"}");
  expect_refused({}, {{"\xc3", "a"}}, message + "{\"\uFFFD\":\"a\"}");
}

TEST(SafetensorsLayout, RefusesANameThatStandsTwice) {
  expect_refused({{"a", Dtype::u8, {1}}, {"b", Dtype::u8, {1}}, {"a", Dtype::f32, {1}}}, {},
                 "tensor 'a' stands twice in a file to be written");
}

TEST(SafetensorsLayout, RefusesATensorNamedAsTheMetadata) {
  expect_refused({{"__metadata__", Dtype::u8, {1}}}, {},
                 "a tensor cannot be named __metadata__, which safetensors keeps for itself");
}

TEST(SafetensorsLayout, RefusesTensorsThatFillNoBytes) {
  expect_refused({{"a", Dtype::f4, {3}}}, {},
                 "tensor 'a' cannot be F4 of shape [3]: the elements do not fill whole bytes");
  expect_refused({{"a", Dtype::u8, {2, -1}}}, {},
                 "tensor 'a' cannot be U8 of shape [2, -1]: a size is negative");
  expect_refused(
      {{"a", Dtype::f4, {std::numeric_limits<std::int64_t>::max()}}}, {},
      "tensor 'a' cannot be F4 of shape [9223372036854775807]: the product of the sizes overflows");
  expect_refused({{"a", Dtype::f6_e2m3, {1, std::int64_t{1} << 61, 8}}}, {},
                 "tensor 'a' cannot be F6_E2M3 of shape [1, 2305843009213693952, 8]: the product of the "
                 "sizes overflows");
}

TEST(SafetensorsLayout, RefusesMoreThanAFileCanHold) {
  const std::int64_t most = (std::int64_t{1} << 61) - 1;
  std::vector<TensorSpec> specs = {
      {"a", Dtype::u8, {most}}, {"b", Dtype::u8, {most}}, {"c", Dtype::u8, {most}}};
  EXPECT_GT(layout_of(specs).size, 3 * static_cast<std::uint64_t>(most));
  specs.push_back({"d", Dtype::u8, {most}});
  expect_refused(specs, {}, "the tensors of a file to be written take more than 9223372036754775799 bytes");
}

TEST(SafetensorsLayout, RefusesAHeaderAboveTheLimit) {
  const std::size_t around = std::string_view(R"({"__metadata__":{"n":""}})").size();
  expect_refused(
      {}, {{"n", std::string(kMaxHeader - around + 1, 'n')}},
      "the header of a file to be written takes 100000008 bytes, more than the format's 100000000");
}

}  // namespace
}  // namespace mxfp4::safetensors
