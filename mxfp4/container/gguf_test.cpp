#include "mxfp4/container/gguf.h"

#include <fstream>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/container/test_gguf_bytes.h"

namespace mxfp4::gguf {
namespace {

// Types of metadata.
constexpr std::uint32_t kU8 = 0, kI16 = 3, kU32 = 4, kF = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10;

class Gguf : public testing::Test {
 protected:
  File read(const Bytes& bytes) {
    std::ofstream(path, std::ios::binary) << bytes.text;
    return open(path);
  }
  std::string refusal(const Bytes& bytes, ErrorCode code = ErrorCode::corrupt_file) {
    try {
      read(bytes);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_EQ(std::string(error.what()).find(path.native()), 0u) << error.what();
      return error.what();
    }
    return "read";
  }
  void expect_refused(const Bytes& bytes, const std::string& part, ErrorCode code = ErrorCode::corrupt_file) {
    const std::string message = refusal(bytes, code);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }

  static Bytes good() {
    Bytes bytes;
    bytes.begin(2, 3);
    bytes.string("general.name").u32(kString).string("tiny");
    bytes.string("list").u32(kArray).u32(kU8).u64(2).number<std::uint8_t>(7).number<std::uint8_t>(8);
    bytes.string("scale").u32(kF).number(0.5f);
    bytes.tensor("a", 64, 3, kMxfp4, 0).tensor("b", 5, 1, kF32, 128);
    bytes.align().text += std::string(3 * 2 * 17, 'a') + std::string(26, '\0') + std::string(20, 'b');
    return bytes;
  }

  TestDirectory directory;
  std::filesystem::path path = directory / "x.gguf";
};

TEST_F(Gguf, ShowsMetadataAndTensors) {
  const File file = read(good());
  ASSERT_EQ(file.tensors.size(), 2u);
  const Tensor& a = *file.find("a");
  EXPECT_STREQ(a.type->name, "MXFP4");
  EXPECT_EQ(a.shape, (Shape{3, 64}));
  EXPECT_EQ(a.bytes.size(), 102u);
  EXPECT_EQ(static_cast<char>(a.bytes.back()), 'a');
  const Tensor& b = *file.find("b");
  EXPECT_EQ(b.bytes.size(), 20u);
  EXPECT_EQ(static_cast<char>(b.bytes.front()), 'b');
  EXPECT_EQ(file.find("c"), nullptr);
  ASSERT_EQ(file.metadata.size(), 3u);
  EXPECT_EQ(file.metadata[1].key, "list");
  EXPECT_EQ(file.value("general.name")->text(), "tiny");
  EXPECT_EQ(file.value("scale")->number(), 0.5);
  EXPECT_EQ(file.value("other"), nullptr);
  const std::vector<Value> list = file.value("list")->array()->elements();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1].integer(), 8);
}

TEST_F(Gguf, KnowsEveryTypeOfMetadata) {
  Bytes bytes;
  bytes.begin(0, 13);
  bytes.string("u8").u32(0).number<std::uint8_t>(200).string("i8").u32(1).number<std::int8_t>(-3);
  bytes.string("u16").u32(2).number<std::uint16_t>(60000).string("i16").u32(kI16).number<std::int16_t>(-300);
  bytes.string("u32").u32(kU32).u32(4000000000).string("i32").u32(5).number<std::int32_t>(-70000);
  bytes.string("f32").u32(kF).number(0.1f).string("bool").u32(kBool).number<std::uint8_t>(1);
  bytes.string("text").u32(kString).string("a\nb").string("array").u32(kArray).u32(kI16).u64(0);
  bytes.string("u64").u32(kU64).u64(~0ull).string("i64").u32(11).number<std::int64_t>(-5000000000);
  bytes.string("f64").u32(12).number(0.1);
  const File file = read(bytes);
  const std::pair<const char*, const char*> expected[] = {{"u8", "200"},
                                                          {"i8", "-3"},
                                                          {"u16", "60000"},
                                                          {"i16", "-300"},
                                                          {"u32", "4000000000"},
                                                          {"f32", "0.1"},
                                                          {"i32", "-70000"},
                                                          {"bool", "true"},
                                                          {"text", "'a\\nb'"},
                                                          {"array", "[0 x i16]"},
                                                          {"f64", "0.1"},
                                                          {"i64", "-5000000000"},
                                                          {"u64", "18446744073709551615"}};
  for (const auto& [key, text] : expected) EXPECT_EQ(shown(*file.value(key)), text);
  EXPECT_EQ(file.value("u64")->integer(), std::nullopt);
  EXPECT_EQ(file.value("u32")->integer(), 4000000000);
  EXPECT_EQ(file.value("i32")->number(), -70000.0);
  EXPECT_EQ(file.value("bool")->boolean(), true);
  EXPECT_EQ(file.value("u8")->boolean(), std::nullopt);
  EXPECT_EQ(file.value("u8")->text(), std::nullopt);
  EXPECT_FALSE(file.value("u8")->array().has_value());
}

TEST_F(Gguf, ReadsArraysOfArrays) {
  Bytes bytes;
  bytes.begin(0, 1).string("k").u32(kArray).u32(kArray).u64(2);
  bytes.u32(kU8).u64(1).number<std::uint8_t>(7);
  bytes.u32(kString).u64(2).string("a").string("bc");
  const File file = read(bytes);
  const std::vector<Value> arrays = file.value("k")->array()->elements();
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_EQ(arrays[0].array()->elements()[0].integer(), 7);
  EXPECT_EQ(arrays[1].array()->elements()[1].text(), "bc");
}

TEST_F(Gguf, KeepsTheAlignmentThatTheFileNames) {
  Bytes bytes;
  bytes.begin(1, 1).string("general.alignment").u32(kU32).u32(256).tensor("a", 4, 1, kF32, 256);
  bytes.align(256).text += std::string(256, '\0') + std::string(16, 'a');
  const File file = read(bytes);
  EXPECT_EQ(file.alignment, 256u);
  EXPECT_EQ(static_cast<char>(file.tensors[0].bytes[0]), 'a');
}

TEST_F(Gguf, RefusesEveryTruncation) {
  const Bytes whole = good();
  for (std::size_t size = 0; size < whole.text.size(); ++size) {
    Bytes bytes;
    bytes.text = whole.text.substr(0, size);
    EXPECT_NE(refusal(bytes), "read") << size;
  }
}

TEST_F(Gguf, RefusesWhatIsNoGguf) {
  Bytes bytes;
  bytes.text = "GGML and more";
  expect_refused(bytes, "does not begin with 'GGUF'");
  for (const std::uint32_t version : {1u, 4u}) {
    expect_refused(Bytes().begin(0, 0, version), "version " + std::to_string(version),
                   ErrorCode::unsupported);
  }
  expect_refused(Bytes().begin(0, 0, 0x03000000), "a big-endian file of version 3", ErrorCode::unsupported);
}

TEST_F(Gguf, RefusesMetadataThatCannotBe) {
  constexpr auto kHuge = std::uint64_t{1} << 60;
  expect_refused(Bytes().begin(0, kHuge), "the number of metadata is");
  expect_refused(Bytes().begin(kHuge, 0), "the number of tensors is");
  expect_refused(Bytes().begin(0, 1).u64(kHuge).u64(0), "the key of metadata of");
  Bytes bytes;
  expect_refused(bytes.begin(0, 1).string("k").u32(kString).u64(100).u64(0),
                 "k takes 100 bytes, but the file ends");
  bytes = {};
  expect_refused(bytes.begin(0, 1).string("k").u32(kArray).u32(kU32).u64(kHuge), "k is 1152921504606846976");
  bytes = {};
  bytes.begin(0, 1).string("k").u32(kArray);
  for (int i = 0; i < 9; ++i) bytes.u32(kArray).u64(1);
  bytes.u32(kU8).u64(0);
  expect_refused(bytes, "'k' holds arrays more than 8 deep", ErrorCode::unsupported);
  bytes = {};
  expect_refused(bytes.begin(0, 1).string("k").u32(kArray).u32(13).u64(0), "'k' has type 13",
                 ErrorCode::unsupported);
  bytes = {};
  bytes.begin(0, 1).string("k").u32(kArray).u32(kBool).u64(1).number<std::uint8_t>(3);
  expect_refused(bytes, "'k' is 3, neither true nor false");
  bytes = {};
  expect_refused(bytes.begin(0, 1).string("k").u32(13).u64(0), "'k' has type 13", ErrorCode::unsupported);
  bytes = {};
  expect_refused(bytes.begin(0, 1).string("k").u32(kBool).number<std::uint8_t>(2), "neither true nor false");
  bytes = {};
  for (int i = 0; i < 2; ++i) (i == 0 ? bytes.begin(0, 2) : bytes).string("k").u32(kU32).u32(1);
  expect_refused(bytes, "metadata 'k' stands twice");
  bytes = {};
  expect_refused(bytes.begin(0, 1).string("general.alignment").u32(kU32).u32(24),
                 "'general.alignment' is 24, no power of two");
  bytes = {};
  expect_refused(bytes.begin(0, 1).string("general.alignment").u32(kString).string("32"), "no power of two");
}

TEST_F(Gguf, RefusesTensorsThatCannotBe) {
  const auto with = [](const Bytes& tensors, int count = 1) {
    Bytes bytes;
    bytes.begin(static_cast<std::uint64_t>(count), 0).text += tensors.text;
    bytes.align().text += std::string(64, '\0');
    return bytes;
  };
  expect_refused(with(Bytes().string("a").u32(0).u32(0).u64(0)), "tensor 'a' has 0 dimensions");
  expect_refused(with(Bytes().string("a").u32(5).u64(1)), "tensor 'a' has 5 dimensions");
  expect_refused(with(Bytes().tensor("a", ~0ull, 1, kF32, 0)), "a dimension of 18446744073709551615");
  expect_refused(with(Bytes().tensor("a", 1ull << 62, 1ull << 62, kF32, 0)), "too large to be true");
  expect_refused(with(Bytes().tensor("a", 1ull << 62, 1, kF32, 0)), "too large to be true");
  expect_refused(with(Bytes().tensor("a", 1ull << 62, 0, kF32, 0)), "too large to be true");
  expect_refused(with(Bytes().tensor("a", 33, 1, kMxfp4, 0)),
                 "rows of 33 elements are no whole blocks of MXFP4");
  expect_refused(with(Bytes().tensor("a", 1, 1, 99, 0)), "tensor 'a' has type 99", ErrorCode::unsupported);
  expect_refused(with(Bytes().tensor("a", 1, 1, kF32, 4)), "which is not aligned to 32");
  expect_refused(with(Bytes().tensor("a", 17, 1, kF32, 0)),
                 "offset 0 + 68 bytes exceeds the 64 bytes of data");
  expect_refused(with(Bytes().tensor("a", 1, 1, kF32, 1ull << 63)), "exceeds the 64 bytes");
  expect_refused(with(Bytes().tensor("a", 9, 1, kF32, 0).tensor("b", 1, 1, kF32, 32), 2),
                 "'a' and 'b' overlap");
  expect_refused(with(Bytes().tensor("a", 1, 1, kF32, 0).tensor("a", 1, 1, kF32, 32), 2),
                 "tensor 'a' stands twice");
}

}  // namespace
}  // namespace mxfp4::gguf
