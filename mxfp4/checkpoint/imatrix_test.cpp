#include "mxfp4/checkpoint/imatrix.h"

#include <fstream>
#include <limits>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/container/safetensors.h"
#include "mxfp4/container/test_gguf_bytes.h"

namespace mxfp4 {
namespace {

using Floats = std::vector<float>;

Floats found(const ImportanceMatrix& matrix, std::string_view name, std::int64_t experts,
             std::int64_t columns) {
  const auto values = matrix.find(name, experts, columns);
  return {values.begin(), values.end()};
}

class Imatrix : public testing::Test {
 protected:
  struct Entry {
    std::string name;
    std::int32_t calls;
    Floats values;
  };

  static std::string dat(const std::vector<Entry>& entries) {
    gguf::Bytes bytes;
    bytes.number(static_cast<std::int32_t>(entries.size()));
    for (const Entry& entry : entries) {
      bytes.number(static_cast<std::int32_t>(entry.name.size())).text += entry.name;
      bytes.number(entry.calls).number(static_cast<std::int32_t>(entry.values.size()));
      for (const float value : entry.values) bytes.number(value);
    }
    return bytes.text;
  }

  ImportanceMatrix open(const std::string& content, const char* name = "imatrix.dat") {
    std::ofstream(directory / name, std::ios::binary) << content;
    return ImportanceMatrix::open(directory / name);
  }

  std::string refusal(const std::string& content, const char* name = "imatrix.dat") {
    try {
      open(content, name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt_file) << error.what();
      return error.what();
    }
    return "read";
  }

  TestDirectory directory;
};

TEST_F(Imatrix, ReadsTheOldFormat) {
  std::string content = dat({{"blk.3.ffn_down.weight", 4, {4, 8, 0}}, {"blk.0.attn_q.weight", 0, {5, 5}}});
  content += std::string("\x02\0\0\0\x04\0\0\0wiki", 12);  // chunks and data set
  const ImportanceMatrix matrix = open(content);
  EXPECT_EQ(matrix.size(), 2u);
  EXPECT_EQ(found(matrix, "model.layers.3.mlp.down_proj.weight", 0, 3), (Floats{1, 2, 0}));
  EXPECT_EQ(found(matrix, "model.layers.0.self_attn.q_proj.weight", 0, 2), (Floats{1, 1}));  // never used
  EXPECT_EQ(found(matrix, "model.layers.4.mlp.down_proj.weight", 0, 3), Floats());
}

TEST_F(Imatrix, ReadsGguf) {
  gguf::Bytes bytes;
  bytes.begin(2, 0);
  bytes.tensor("blk.1.ffn_gate_exps.weight.in_sum2", 3, 2, 0, 0);
  bytes.tensor("blk.1.ffn_gate_exps.weight.counts", 1, 2, 0, 32).align();
  for (const float value : {2.f, 4.f, 6.f, 1.f, 1.f, 1.f, 0.f, 0.f, 2.f, 0.f}) bytes.number(value);
  const ImportanceMatrix matrix = open(bytes.text, "imatrix.gguf");
  EXPECT_EQ(found(matrix, "model.layers.1.mlp.experts.gate_up_proj", 2, 3), (Floats{1, 2, 3, 1, 1, 1}));
  EXPECT_EQ(found(matrix, "model.layers.1.mlp.experts.0.up_proj.weight", 0, 3),
            Floats());  // gate and up are apart
  EXPECT_EQ(found(matrix, "model.layers.1.mlp.experts.0.gate_proj.weight", 0, 3), (Floats{1, 2, 3}));
  EXPECT_EQ(found(matrix, "model.layers.1.mlp.experts.1.gate_proj.weight", 0, 3), (Floats{1, 1, 1}));
}

TEST_F(Imatrix, ReadsSafetensors) {
  const std::vector<safetensors::TensorSpec> specs = {{"model.norm.x.weight", Dtype::f32, {2}},
                                                      {"y.counts", Dtype::f32, {1}},
                                                      {"y.in_sum2", Dtype::f32, {1, 2}}};
  const safetensors::Layout layout = safetensors::layout(specs, {});
  const Floats values[] = {{1, 2}, {2}, {8, 6}};
  {
    OutputFile file(directory / "i.safetensors", layout.size);
    file.write(0, std::as_bytes(std::span(layout.head)));
    for (std::size_t i = 0; i < specs.size(); ++i)
      file.write(layout.offsets[i], std::as_bytes(std::span(values[i])));
    file.commit();
  }
  const ImportanceMatrix matrix = ImportanceMatrix::open(directory / "i.safetensors");
  EXPECT_EQ(found(matrix, "model.norm.x.weight", 0, 2), (Floats{1, 2}));
  EXPECT_EQ(found(matrix, "model.norm.x", 0, 2), (Floats{1, 2}));
  EXPECT_EQ(found(matrix, "y", 0, 2), (Floats{4, 3}));
}

TEST_F(Imatrix, KnowsLlamaCppsNames) {
  const auto first = [](const char* name) {
    const auto names = llama_cpp_names(name);
    return names.empty() ? "" : names[0].name + " " + std::to_string(names[0].expert);
  };
  EXPECT_EQ(first("model.layers.12.self_attn.k_proj.weight"), "blk.12.attn_k.weight -1");
  EXPECT_EQ(first("model.layers.0.self_attn.o_proj.weight"), "blk.0.attn_output.weight -1");
  EXPECT_EQ(first("model.layers.0.mlp.experts.gate_up_proj"), "blk.0.ffn_gate_exps.weight -1");
  EXPECT_EQ(first("model.layers.0.mlp.experts.7.down_proj.weight"), "blk.0.ffn_down_exps.weight 7");
  EXPECT_EQ(first("model.layers.2.block_sparse_moe.experts.3.w3.weight"), "blk.2.ffn_up_exps.weight 3");
  EXPECT_EQ(first("model.layers.2.mlp.shared_expert.up_proj.weight"), "blk.2.ffn_up_shexp.weight -1");
  EXPECT_EQ(first("block.5.mlp.mlp2_weight"), "blk.5.ffn_down_exps.weight -1");
  EXPECT_EQ(first("lm_head.weight"), "output.weight -1");
  EXPECT_EQ(first("encoder.layer.0.output.dense.weight"), "");
}

TEST_F(Imatrix, RefusesAnEntryThatDoesNotFitTheWeight) {
  const ImportanceMatrix matrix = open(dat({{"w", 1, {1, 2, 3, 4}}}));
  EXPECT_EQ(found(matrix, "w", 2, 2), (Floats{1, 2, 3, 4}));
  try {
    matrix.find("w", 0, 3);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("'w' has 4 values, which fit neither the 3 columns"),
              std::string::npos);
  }
}

TEST_F(Imatrix, RefusesWhatCannotBe) {
  const std::string good = dat({{"abc", 1, {1, 2}}});
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(refusal(good.substr(0, size)), "read") << size;
  EXPECT_NE(refusal(dat({{"a", 1, {-1}}})).find("value 0 is -1"), std::string::npos);
  EXPECT_NE(refusal(dat({{"a", 1, {1, std::numeric_limits<float>::quiet_NaN()}}})).find("value 1 is nan"),
            std::string::npos);
  EXPECT_NE(refusal(dat({{"a", 1, {1}}, {"a", 1, {1}}})).find("'a' stands twice"), std::string::npos);
  EXPECT_NE(refusal(dat({{"a", -1, {1}}})).find("the number of calls is -1"), std::string::npos);
  gguf::Bytes lonely;
  lonely.begin(1, 0).tensor("a.in_sum2", 1, 1, 0, 0).align().number(1.f);
  EXPECT_NE(refusal(lonely.text, "x.gguf").find("stands without 'a.counts'"), std::string::npos);
  gguf::Bytes negative;
  negative.begin(2, 0).tensor("a.in_sum2", 1, 1, 0, 0).tensor("a.counts", 1, 1, 0, 32).align();
  negative.number(1.f).align().number(-2.f);
  EXPECT_NE(refusal(negative.text, "x.gguf").find("'a.counts': value 0 is -2, but a count is finite"),
            std::string::npos);
  EXPECT_NE(refusal(gguf::Bytes().begin(0, 0).text, "x.gguf").find("holds no importance matrix"),
            std::string::npos);
  gguf::Bytes halves;
  halves.begin(2, 0)
      .tensor("a.in_sum2", 2, 1, 1, 0)
      .tensor("a.counts", 1, 1, 0, 32)
      .align()
      .u64(0)
      .u64(0)
      .u64(0)
      .u64(0);
  halves.number(1.f);
  EXPECT_NE(refusal(halves.text, "x.gguf").find("'a.in_sum2' is F16, not F32"), std::string::npos);
}

}  // namespace
}  // namespace mxfp4
