#include "mxfp4/container/gguf_layout.h"

#include <fstream>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"

namespace mxfp4::gguf {
namespace {

std::string file_of(const Layout& layout) {
  std::string bytes = layout.head;
  bytes.resize(layout.size, '\0');
  return bytes;
}

class GgufLayout : public testing::Test {
 protected:
  File read(const std::string& bytes) {
    std::ofstream(directory / "x.gguf", std::ios::binary) << bytes;
    return open(directory / "x.gguf");
  }
  TestDirectory directory;
};

TEST_F(GgufLayout, IsReadBackAsItWasMeant) {
  const std::vector<std::string> texts = {"one", "", "three"};
  const std::vector<std::int32_t> numbers = {1, -2};
  Metadata metadata;
  metadata.add("text", "x").add("u32", 7u).add("f32", 0.5f).add("bool", true);
  metadata.add("texts", texts).add("numbers", numbers);
  const std::vector<TensorSpec> specs = {
      {"b", kF32, {5}}, {"a", kMxfp4, {2, 3, 64}}, {"c", kBf16, {1, 2, 3, 4}}};
  const Layout made = layout(specs, metadata);
  EXPECT_EQ(made.head.size() % 32, 0u);
  EXPECT_EQ(made.offsets[0], made.head.size());
  EXPECT_EQ(made.offsets[1], made.head.size() + 32);
  EXPECT_EQ(made.offsets[2], made.offsets[1] + 224);  // 12 blocks of 17 bytes
  EXPECT_EQ(made.size, made.offsets[2] + 64);         // the last one is padded, too

  const File file = read(file_of(made));
  EXPECT_EQ(file.version, 3u);
  ASSERT_EQ(file.tensors.size(), 3u);
  for (std::size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(file.tensors[i].name, specs[i].name);
    EXPECT_EQ(file.tensors[i].type->number, specs[i].type);
    EXPECT_EQ(file.tensors[i].shape, specs[i].shape);
    EXPECT_EQ(file.tensors[i].bytes.data(), file.map.bytes().data() + made.offsets[i]);
    EXPECT_EQ(file.tensors[i].bytes.size(), specs[i].bytes());
  }
  EXPECT_EQ(file.value("u32")->type, ValueType::u32);
  EXPECT_EQ(file.value("u32")->integer(), 7);
  EXPECT_EQ(file.value("f32")->number(), 0.5);
  EXPECT_EQ(file.value("bool")->boolean(), true);
  EXPECT_EQ(file.value("texts")->array()->elements()[2].text(), "three");
  EXPECT_EQ(file.value("numbers")->array()->elements()[1].integer(), -2);

  Metadata copied;
  for (const Pair& pair : file.metadata) copied.add(pair.key, pair.value);
  EXPECT_EQ(copied.bytes(), metadata.bytes());
}

TEST_F(GgufLayout, OfNothingIsAFile) {
  EXPECT_TRUE(read(file_of(layout({}, {}))).tensors.empty());
}

TEST_F(GgufLayout, RefusesWhatReadersRefuse) {
  const auto refused = [](const std::vector<TensorSpec>& specs, const Metadata& metadata = {}) {
    const Error error = error_of([&] { layout(specs, metadata); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return std::string(error.what());
  };
  EXPECT_NE(refused({{"a", kF32, {1}}, {"a", kF32, {1}}}).find("tensor 'a' stands twice"), std::string::npos);
  EXPECT_NE(refused({}, Metadata().add("k", 1u).add("k", 2u)).find("metadata 'k' stands twice"),
            std::string::npos);
  EXPECT_NE(refused({}, Metadata().add("general.alignment", 64u)).find("cannot be set"), std::string::npos);
  EXPECT_NE(refused({{std::string(64, 'n'), kF32, {1}}}).find("64 bytes"), std::string::npos);
  EXPECT_EQ(layout(std::vector<TensorSpec>{{std::string(63, 'n'), kF32, {1}}}, {}).offsets.size(), 1u);
  EXPECT_NE(refused({{"a", 99, {1}}}).find("GGUF has no type 99"), std::string::npos);
  EXPECT_NE(refused({{"a", kMxfp4, {2, 48}}}).find("[2, 48] cannot be MXFP4"), std::string::npos);
  EXPECT_NE(refused({{"a", kF32, {}}}).find("1 to 4 dimensions"), std::string::npos);
  EXPECT_NE(refused({{"a", kF32, {1, 1, 1, 1, 1}}}).find("1 to 4 dimensions"), std::string::npos);
  std::vector<TensorSpec> huge;
  for (int i = 0; i < 17; ++i) huge.push_back({std::to_string(i), kF32, {std::int64_t{1} << 57}});
  EXPECT_NE(refused(huge).find("take more than"), std::string::npos);
}

}  // namespace
}  // namespace mxfp4::gguf
