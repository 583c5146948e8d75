#include "mxfp4/checkpoint/gguf_config.h"

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

using nlohmann::json;

std::string text_of(const std::filesystem::path& path) {
  return read_file(path, std::size_t{1} << 20);
}

SmallFiles files_of(const std::filesystem::path& model) {
  SmallFiles files;
  for (const char* const name : kTokenizerFiles) {
    if (std::filesystem::exists(model / name)) files[name] = text_of(model / name);
  }
  return files;
}

/// A file of these metadata and no tensors.
gguf::File file_of(const gguf::Metadata& metadata, const std::filesystem::path& path) {
  write_text(path, gguf::layout({}, metadata).head);
  return gguf::open(path);
}

std::string encoded(const gguf::Value& value) {
  return {reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size()};
}

const std::filesystem::path kModel = test_model("tiny-gpt-oss/hf-mxfp4");
const std::filesystem::path kGolden = test_model("tiny-gpt-oss/gguf/mxfp4.gguf");

gguf::Metadata metadata_of_model() {
  gguf::Metadata metadata =
      gguf_metadata(text_of(kModel / "config.json"), "tiny-gpt-oss", true, "config.json");
  EXPECT_EQ(add_tokenizer(metadata, files_of(kModel), 512, "PATH"), "");
  return metadata;
}

TEST(GgufConfig, SaysWhatLlamaCppsOwnConverterSays) {
  const TestDirectory directory;
  const gguf::File golden = gguf::open(kGolden), ours = file_of(metadata_of_model(), directory / "x.gguf");
  for (const gguf::Pair& pair : golden.metadata) {
    if (pair.key == "general.size_label") continue;  // a guess at the parameters, for people
    const gguf::Value* const value = ours.value(pair.key);
    ASSERT_NE(value, nullptr) << pair.key;
    EXPECT_EQ(value->type, pair.value.type) << pair.key;
    EXPECT_EQ(encoded(*value), encoded(pair.value)) << pair.key;
  }
  EXPECT_EQ(ours.metadata.size(), golden.metadata.size() - 1);
}

TEST(GgufConfig, IsReadBackAsTheConfigThatItCameFrom) {
  const json config = json::parse(config_from_gguf(gguf::open(kGolden)));
  const json original = json::parse(text_of(kModel / "config.json"));
  for (const auto& [key, value] : config.items()) EXPECT_EQ(value, original.value(key, json())) << key;
  for (const auto& [key, value] : original.items()) {
    constexpr std::string_view kUntold[] = {
        "attention_dropout", "initializer_range",    "output_router_logits", "quantization_config",
        "use_cache",         "router_aux_loss_coef", "transformers_version"};
    const bool untold = std::find(std::begin(kUntold), std::end(kUntold), key) != std::end(kUntold);
    EXPECT_EQ(config.contains(key), !untold) << key;
  }
}

TEST(GgufConfig, MetadataSurviveTheWayThroughAConfig) {
  const TestDirectory directory;
  const gguf::File golden = gguf::open(kGolden);
  const std::string config = config_from_gguf(golden);
  gguf::Metadata metadata = gguf_metadata(config, "tiny-gpt-oss", true, "config.json");
  SmallFiles files = tokenizer_from_gguf(golden.metadata, "PATH");
  EXPECT_EQ(add_tokenizer(metadata, files, 512, "PATH"), "");
  EXPECT_EQ(metadata.bytes(), metadata_of_model().bytes());
}

TEST(GgufConfig, OfOtherArchitecturesIsReadAsFarAsItGoes) {
  const TestDirectory directory;
  gguf::Metadata metadata;
  metadata.add("general.architecture", "qwen3")
      .add("qwen3.block_count", 2u)
      .add("qwen3.embedding_length", 64u);
  const json config = json::parse(config_from_gguf(file_of(metadata, directory / "x.gguf")));
  EXPECT_EQ(config["model_type"], "qwen3");
  EXPECT_EQ(config["num_hidden_layers"], 2);
  EXPECT_FALSE(config.contains("swiglu_limit"));
  EXPECT_EQ(
      config_from_gguf(file_of(gguf::Metadata().add("general.architecture", "rwkv7"), directory / "y.gguf")),
      "");
  EXPECT_EQ(config_from_gguf(file_of({}, directory / "z.gguf")), "");
  metadata.add("qwen3.feed_forward_length", "x");
  EXPECT_TRUE(has_all(error_of([&] { config_from_gguf(file_of(metadata, directory / "w.gguf")); }),
                      {"corrupt_file", "w.gguf: 'qwen3.feed_forward_length' is 'x', not a size"}));
}

TEST(GgufConfig, RefusesWhatLlamaCppWouldRunOtherwise) {
  const json good = json::parse(text_of(kModel / "config.json"));
  const auto refusal = [&](const char* field, const json& value) {
    json config = good;
    config[field] = value;
    return error_of([&] { gguf_metadata(config.dump(), "x", true, "config.json"); });
  };
  EXPECT_TRUE(has_all(refusal("swiglu_limit", 6), {"unsupported", "swiglu_limit is 6"}));
  EXPECT_TRUE(
      has_all(refusal("layer_types", {"full_attention"}), {"unsupported", "layer 0 is \"full_attention\""}));
  EXPECT_TRUE(has_all(refusal("rope_scaling", {{"rope_type", "llama3"}}), {"unsupported", "\"llama3\""}));
  EXPECT_TRUE(has_all(refusal("hidden_size", nullptr), {"corrupt_file", "'hidden_size' is missing"}));
  EXPECT_TRUE(has_all(refusal("hidden_size", -1), {"corrupt_file", "'hidden_size' is -1, not a size"}));
  EXPECT_TRUE(
      has_all(refusal("rms_norm_eps", "x"), {"corrupt_file", "'rms_norm_eps' is \"x\", not a number"}));
  EXPECT_EQ(refusal("layer_types", nullptr), "");
}

TEST(GgufConfig, ReadsTheRopeOfTransformers5) {
  json config = json::parse(text_of(kModel / "config.json"));
  const std::string before = gguf_metadata(config.dump(), "x", true, "config.json").bytes();
  config["rope_parameters"] = config["rope_scaling"];
  config["rope_parameters"]["rope_theta"] = config["rope_theta"];
  config.erase("rope_scaling");
  config.erase("rope_theta");
  EXPECT_EQ(gguf_metadata(config.dump(), "x", true, "config.json").bytes(), before);
}

TEST(GgufTokenizer, IsReadBackAsTheFileThatItCameFrom) {
  const gguf::File golden = gguf::open(kGolden);
  const SmallFiles files = tokenizer_from_gguf(golden.metadata, "PATH");
  EXPECT_EQ(json::parse(files.at("tokenizer.json")), json::parse(text_of(kModel / "tokenizer.json")));
  const json config = json::parse(files.at("tokenizer_config.json"));
  EXPECT_EQ(config["bos_token"], "<|startoftext|>");
  EXPECT_EQ(config["eos_token"], "<|return|>");
  EXPECT_EQ(json::parse(files.at("generation_config.json"))["pad_token_id"], 442);
  EXPECT_EQ(files.count("chat_template.jinja"), 0u);
}

TEST(GgufTokenizer, KeepsTheChatTemplate) {
  const TestDirectory directory;
  SmallFiles files = files_of(kModel);
  files["chat_template.jinja"] = "{{ messages }}";
  gguf::Metadata metadata;
  add_tokenizer(metadata, files, 512, "PATH");
  const gguf::File file = file_of(metadata, directory / "x.gguf");
  EXPECT_EQ(file.value("tokenizer.chat_template")->text(), "{{ messages }}");
  EXPECT_EQ(tokenizer_from_gguf(file.metadata, "PATH").at("chat_template.jinja"), "{{ messages }}");
  json config = json::parse(files["tokenizer_config.json"]);
  config["chat_template"] = "the config's";
  config["add_bos_token"] = true;
  files["tokenizer_config.json"] = config.dump();
  gguf::Metadata other;
  add_tokenizer(other, files, 512, "PATH");
  const gguf::File written = file_of(other, directory / "y.gguf");
  EXPECT_EQ(written.value("tokenizer.chat_template")->text(), "the config's");
  EXPECT_EQ(written.value("tokenizer.ggml.add_bos_token")->boolean(), true);
}

TEST(GgufTokenizer, SaysWhyThereIsNone) {
  const TestDirectory directory;
  const auto why = [&](const std::function<void(json&)>& change) {
    SmallFiles files = files_of(kModel);
    json tokenizer = json::parse(files["tokenizer.json"]);
    change(tokenizer);
    files["tokenizer.json"] = tokenizer.dump();
    gguf::Metadata metadata;
    const std::string reason = add_tokenizer(metadata, files, 512, "PATH");
    const gguf::File file = file_of(metadata, directory / "x.gguf");
    EXPECT_EQ(file.value("tokenizer.ggml.model")->text() == "no_vocab", !reason.empty());
    return reason;
  };
  EXPECT_EQ(why([](json&) {}), "");
  EXPECT_EQ(why([](json& t) { t["pre_tokenizer"] = t["pre_tokenizer"]["pretokenizers"][1]; }), "");
  EXPECT_EQ(why([](json& t) { t["model"]["type"] = "Unigram"; }), "tokenizer.json is not BPE");
  const std::string unknown = "tokenizer.json cuts text in a way that is not known by a name of llama.cpp's";
  EXPECT_EQ(why([](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x"; }), unknown);
  EXPECT_EQ(why([](json& t) { t["pre_tokenizer"]["pretokenizers"].erase(1); }), unknown);
  EXPECT_EQ(why([](json& t) {
              t["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}});
            }),
            unknown);
  EXPECT_EQ(why([](json& t) { t.erase("pre_tokenizer"); }), unknown);
  gguf::Metadata metadata;
  EXPECT_EQ(add_tokenizer(metadata, {}, 512, "PATH"), "there is no tokenizer.json");
  EXPECT_EQ(file_of(metadata, directory / "x.gguf").value("gpt-oss.vocab_size")->integer(), 512);
}

TEST(GgufTokenizer, RefusesWhatCannotBe) {
  const auto refusal = [&](const std::function<void(json&)>& change, std::uint32_t vocabulary = 512) {
    SmallFiles files = files_of(kModel);
    json tokenizer = json::parse(files["tokenizer.json"]);
    change(tokenizer);
    files["tokenizer.json"] = tokenizer.dump();
    gguf::Metadata metadata;
    return error_of([&] { add_tokenizer(metadata, files, vocabulary, "PATH"); });
  };
  EXPECT_TRUE(
      has_all(refusal([](json&) {}, 442),
              {"corrupt_file: PATH/tokenizer.json: token '<|pad|>' has id 442", "vocab_size is 442"}));
  EXPECT_TRUE(has_all(refusal([](json& t) { t["model"]["vocab"]["!"] = -1; }), {"token '!' has id -1"}));
  EXPECT_TRUE(has_all(refusal([](json& t) { t["model"]["vocab"] = 7; }), {"model.vocab is 7"}));
  EXPECT_TRUE(has_all(refusal([](json& t) { t["model"]["merges"] = 7; }), {"model.merges is 7"}));
  EXPECT_TRUE(has_all(refusal([](json& t) { t["model"]["merges"][3] = {"a"}; }), {"a merge is"}));
  EXPECT_TRUE(has_all(refusal([](json& t) { t["added_tokens"][0].erase("id"); }), {"has id null"}));

  const TestDirectory directory;
  const auto read = [&](const std::vector<std::string>& tokens, const std::vector<std::int32_t>& types,
                        const std::vector<std::string>& merges) {
    gguf::Metadata metadata;
    metadata.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "gpt-4o");
    metadata.add("tokenizer.ggml.tokens", tokens)
        .add("tokenizer.ggml.token_type", types)
        .add("tokenizer.ggml.merges", merges);
    const gguf::File file = file_of(metadata, directory / "x.gguf");
    return error_of([&] { tokenizer_from_gguf(file.metadata, "PATH"); });
  };
  EXPECT_EQ(read({"a", "b"}, {1, 1}, {"a b"}), "");
  EXPECT_TRUE(has_all(read({"a", "b"}, {1}, {}), {"'tokenizer.ggml.token_type' has 1 values", "has 2"}));
  EXPECT_TRUE(has_all(read({"a", "b"}, {1, 1}, {"ab"}), {"'ab' is no pair"}));
}

}  // namespace
}  // namespace mxfp4
