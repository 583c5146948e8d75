#include "mxfp4/checkpoint/model_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";
const safetensors::TensorSpec kA{"a", Dtype::f32, {2, 3}}, kB{"b", Dtype::bf16, {4}}, kC{"c", Dtype::u8, {1}};

std::vector<std::string> names_of(const ModelFiles& model) {
  std::vector<std::string> names;
  for (const StoredTensor* const tensor : model.tensors()) names.push_back(tensor->name);
  return names;
}

std::string refusal(const fs::path& path) {
  return error_of([&] { open_model(path); });
}

// A model of two shards and an index.
void write_shards(const fs::path& directory) {
  write_tensors(directory / "model-00001-of-00002.safetensors", {kA, kB});
  write_tensors(directory / "model-00002-of-00002.safetensors", {kC});
  write_text(directory / kIndex, R"({"metadata": {"total_size": 33}, "weight_map": {
    "a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors",
    "c": "model-00002-of-00002.safetensors"}})");
}

TEST(ModelFiles, OpensABareFile) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {kA, kB});
  write_text(directory / "config.json", "{}");
  const ModelFiles model = open_model(directory / "x.safetensors");
  EXPECT_FALSE(model.is_directory);
  EXPECT_EQ(names_of(model), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(model.config, "");
  EXPECT_TRUE(model.other_files.empty());
  EXPECT_EQ(model.find("a")->shape, (Shape{2, 3}));
  EXPECT_EQ(model.find("z"), nullptr);
  EXPECT_EQ(model.file_of(*model.find("b")), "x.safetensors");
}

TEST(ModelFiles, OpensADirectoryByItsIndex) {
  const TestDirectory directory;
  write_shards(directory.path());
  write_tensors(directory / "consolidated.safetensors", {kA});
  write_text(directory / "config.json", R"({"model_type": "x"})");
  for (const fs::path& path : {directory.path(), directory / "", directory / "."}) {
    const ModelFiles model = open_model(path);
    EXPECT_TRUE(model.is_directory);
    EXPECT_EQ(names_of(model), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(model.files.size(), 2u);
    EXPECT_EQ(model.config, R"({"model_type": "x"})");
    EXPECT_EQ(model.file_of(*model.find("c")), "model-00002-of-00002.safetensors");
    EXPECT_TRUE(model.other_files.empty());
    ASSERT_EQ(model.left_behind.size(), 1u);
    EXPECT_EQ(model.left_behind[0].path, "consolidated.safetensors");
  }
}

TEST(ModelFiles, WithoutAnIndexModelSafetensorsIsTheModel) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {kA});
  write_tensors(directory / "adapter_model.safetensors", {kA, kB});
  EXPECT_EQ(names_of(open_model(directory.path())), std::vector<std::string>{"a"});
}

TEST(ModelFiles, WithoutAnIndexAllFilesAreTheModel) {
  const TestDirectory directory;
  write_tensors(directory / "model-10.safetensors", {kA});
  write_tensors(directory / "model-9.safetensors", {kB});
  const ModelFiles model = open_model(directory.path());
  EXPECT_EQ(names_of(model), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(model.files[0]->map.path().filename(), "model-9.safetensors");

  write_tensors(directory / "more.safetensors", {kA});
  EXPECT_TRUE(has_all(refusal(directory.path()),
                      {"corrupt_file", "'a'", "model-10.safetensors", "more.safetensors"}));
}

TEST(ModelFiles, MissesAShardEvenWithoutAnIndex) {
  const TestDirectory directory;
  write_tensors(directory / "model-00001-of-00003.safetensors", {kA});
  write_tensors(directory / "model-00003-of-00003.safetensors", {kB});
  EXPECT_TRUE(has_all(refusal(directory.path()), {"corrupt_file", "3 shards", "only 2"}));
}

TEST(ModelFiles, NamesAMissingShard) {
  const TestDirectory directory;
  write_shards(directory.path());
  fs::remove(directory / "model-00002-of-00002.safetensors");
  EXPECT_TRUE(
      has_all(refusal(directory.path()), {"corrupt_file", "model-00002-of-00002.safetensors is missing"}));
  fs::create_symlink("nowhere", directory / "model-00002-of-00002.safetensors");
  EXPECT_TRUE(
      has_all(refusal(directory.path()), {"corrupt_file", "model-00002-of-00002.safetensors is missing"}));
}

TEST(ModelFiles, IndexAndFilesMustAgree) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {kA, kB});
  write_tensors(directory / "y.safetensors", {kC});
  const auto refusal_of = [&](const char* map) {
    write_text(directory / kIndex, std::string(R"({"weight_map": )") + map + "}");
    return refusal(directory.path());
  };
  EXPECT_EQ(refusal_of(R"({"a": "x.safetensors", "b": "x.safetensors"})"), "");
  EXPECT_TRUE(has_all(refusal_of(R"({"a": "x.safetensors"})"),
                      {"corrupt_file", "'b'", "x.safetensors", "does not name"}));
  EXPECT_TRUE(has_all(refusal_of(R"({"a": "x.safetensors", "b": "x.safetensors", "d": "x.safetensors"})"),
                      {"corrupt_file", "'d'", "x.safetensors", "no file holds it"}));
  EXPECT_TRUE(has_all(refusal_of(R"({"a": "x.safetensors", "b": "x.safetensors", "c": "x.safetensors"})"),
                      {"corrupt_file", "'c'", "no file holds it"}));
  EXPECT_TRUE(has_all(refusal_of(R"({"a": "y.safetensors", "b": "x.safetensors", "c": "y.safetensors"})"),
                      {"corrupt_file", "'a'", "is in y.safetensors, but x.safetensors holds it"}));
}

TEST(ModelFiles, AnIndexMustBeAnIndex) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {kA});
  const auto refusal_of = [&](const std::string& text) {
    write_text(directory / kIndex, text);
    return refusal(directory.path());
  };
  for (const char* const text : {"", "[]", "{}", "{", R"({"weight_map": []})", R"({"weight_map": "x"})"}) {
    EXPECT_TRUE(has_all(refusal_of(text), {"corrupt_file", kIndex})) << text;
  }
  EXPECT_TRUE(has_all(refusal_of(R"({"weight_map": {"a": 1}})"), {"corrupt_file", "'a'"}));
  EXPECT_TRUE(has_all(refusal_of(R"({"weight_map": {}})"), {"corrupt_file", "no tensor"}));
  EXPECT_TRUE(has_all(refusal_of("{\"weight_map\": " + std::string(100'000, '{')), {"corrupt_file"}));
}

TEST(ModelFiles, AnIndexStaysInsideItsDirectory) {
  const TestDirectory outer;
  const fs::path directory = outer / "model";
  write_tensors(outer / "x.safetensors", {kA});
  write_tensors(directory / "sub" / "x.safetensors", {kA});
  fs::create_directory_symlink(outer.path(), directory / "link");
  const auto refusal_of = [&](const std::string& name) {
    write_text(directory / kIndex, R"({"weight_map": {"a": ")" + name + "\"}}");
    return refusal(directory);
  };
  EXPECT_EQ(refusal_of("sub/x.safetensors"), "");
  for (const std::string& name : {std::string("../x.safetensors"), (outer / "x.safetensors").native(),
                                  std::string("sub/../../x.safetensors"), std::string("link/x.safetensors"),
                                  std::string("./sub/x.safetensors"), std::string(""), std::string("sub/")}) {
    EXPECT_TRUE(has_all(refusal_of(name), {"corrupt_file", "'a'", "not a file inside"})) << name;
  }
  // A file name ends at a NUL, and so does a message that quotes it.
  EXPECT_TRUE(has_all(refusal_of("sub/x.safetensors\\u0000y"), {"corrupt_file", "'a'"}));
}

TEST(ModelFiles, FollowsTheLinksOfADownloadCache) {
  const TestDirectory cache;
  const fs::path snapshot = cache / "snapshots" / "main";
  write_tensors(cache / "blobs" / "1", {kA});
  write_text(cache / "blobs" / "2", "{}");
  fs::create_directories(snapshot);
  fs::create_symlink("../../blobs/1", snapshot / "model.safetensors");
  fs::create_symlink("../../blobs/2", snapshot / "config.json");
  fs::create_symlink("../../blobs/2", snapshot / "tokenizer.json");
  write_text(snapshot / kIndex, R"({"weight_map": {"a": "model.safetensors"}})");
  const ModelFiles model = open_model(snapshot);
  EXPECT_EQ(model.file_of(*model.find("a")), "model.safetensors");
  EXPECT_EQ(model.config, "{}");
  EXPECT_EQ(model.other_files, std::vector<fs::path>{"tokenizer.json"});
  EXPECT_TRUE(model.left_behind.empty());
}

TEST(ModelFiles, LooksNoFurtherWhereThereAreNoWeights) {
  const TestDirectory directory;
  write_text(directory / "pytorch_model.bin", "x");
  write_text(directory / "below" / "model.gguf", "x");
  try {
    open_model(directory.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), directory.path().native() +
                                ": no .safetensors file in it; what it holds is not read: pytorch_model.bin");
  }
}

TEST(ModelFiles, SortsWhatIsCopiedFromWhatIsNot) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {kA});
  for (const char* const name : {"config.json", "tokenizer.json", "README.md", "LICENSE",
                                 "1_Pooling/config.json", "original/config.json"}) {
    write_text(directory / name, "{}");
  }
  for (const char* const name : {".gitattributes", ".cache/x", "pytorch_model.bin", "onnx/model.onnx",
                                 "model.gguf", "pytorch_model.bin.index.json"}) {
    write_text(directory / name, "x");
  }
  write_tensors(directory / "original" / "model.safetensors", {kB});
  fs::create_directory_symlink(".", directory / "loop");
  fs::create_symlink("turn", directory / "turn");
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  const ModelFiles model = open_model(directory.path());
  EXPECT_EQ(model.other_files, (std::vector<fs::path>{"1_Pooling/config.json", "LICENSE", "README.md",
                                                      "original/config.json", "tokenizer.json"}));
  std::vector<std::string> left;
  for (const LeftBehind& file : model.left_behind) left.push_back(file.path.native() + ": " + file.reason);
  EXPECT_EQ(left, (std::vector<std::string>{
                      ".cache: hidden", ".gitattributes: hidden", "loop: a link to a directory",
                      "model.gguf: weights in another format", "onnx/model.onnx: weights in another format",
                      "original/model.safetensors: weights that are no part of the model",
                      "pipe: not a regular file", "pytorch_model.bin: weights in another format",
                      "pytorch_model.bin.index.json: an index of weights that are not read",
                      "turn: a link that leads nowhere"}));
}

TEST(ModelFiles, RefusesWhatIsNoModel) {
  const TestDirectory directory;
  EXPECT_TRUE(has_all(refusal(directory / "nowhere"), {"io", "nowhere"}));
  EXPECT_TRUE(has_all(refusal(directory.path()), {"invalid_argument", "no .safetensors file"}));
  write_text(directory / "pytorch_model.bin", "x");
  EXPECT_TRUE(
      has_all(refusal(directory.path()), {"invalid_argument", "no .safetensors file", "pytorch_model.bin"}));
  write_text(directory / "model.gguf", "GGUF");
  EXPECT_TRUE(has_all(refusal(directory / "model.gguf"),
                      {"corrupt_file", "model.gguf", "the version takes 4 bytes"}));
  fs::create_symlink("loop", directory / "loop");
  EXPECT_TRUE(has_all(refusal(directory / "loop"), {"io"}));
  write_tensors(directory / "empty.safetensors", {});
  EXPECT_TRUE(has_all(refusal(directory.path()), {"corrupt_file", "no tensor"}));
}

TEST(ModelFiles, OpensABareFileWithoutTensors) {
  const TestDirectory directory;
  write_tensors(directory / "empty.safetensors", {});
  EXPECT_TRUE(open_model(directory / "empty.safetensors").tensors().empty());
}

TEST(ModelFiles, RefusesAnEmptyConfig) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {kA});
  write_text(directory / "config.json", "");
  EXPECT_TRUE(has_all(refusal(directory.path()), {"corrupt_file", "config.json", "empty"}));
}

TEST(ModelFiles, BoundsTheSizeOfAConfig) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {kA});
  write_text(directory / "config.json", std::string((16 << 20) + 1, ' '));
  EXPECT_TRUE(has_all(refusal(directory.path()), {"corrupt_file", "config.json"}));
}

}  // namespace
}  // namespace mxfp4
