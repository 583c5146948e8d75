#include <nlohmann/json.hpp>

#include "mxfp4/job/synth_model_internal.h"

namespace mxfp4::job {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSpecials[] = {"<|startoftext|>", "<|endoftext|>", "<|return|>",  "<|start|>",
                                     "<|end|>",         "<|message|>",   "<|channel|>", "<|call|>",
                                     "<|constrain|>",   "<|pad|>"};
constexpr int kBytes = 256;

/// The visible character that byte-level BPE writes for a byte: the byte's own in Latin-1 where that is
/// printable, else the next one from U+0100 on.
std::string character(int byte, int& next) {
  const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  const int point = printable ? byte : next++;
  if (point < 0x80) return {static_cast<char>(point)};
  return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
}

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

std::string tokenizer() {
  Json added = Json::array();
  int id = kBytes;
  for (const char* special : kSpecials) {
    added.push_back({{"id", id++},
                     {"content", special},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  Json vocabulary = Json::object();
  int next = 0x100;
  for (int byte = 0; byte < kBytes; ++byte) vocabulary[character(byte, next)] = byte;
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", byte_level(true)},
                     {"post_processor", nullptr},
                     {"decoder", byte_level(true)},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"vocab", vocabulary},
                       {"merges", Json::array()}}}};
  return json.dump(2) + "\n";
}

}  // namespace

TokenIds token_ids() {
  return {.bos = kBytes,
          .eos = kBytes + 2,
          .end_of_text = kBytes + 1,
          .pad = kBytes + static_cast<int>(std::size(kSpecials)) - 1};
}

std::map<std::string, std::string> tokenizer_files() {
  const TokenIds ids = token_ids();
  const Json config = {
      {"tokenizer_class", "PreTrainedTokenizerFast"}, {"bos_token", kSpecials[ids.bos - kBytes]},
      {"eos_token", kSpecials[ids.eos - kBytes]},     {"pad_token", kSpecials[ids.pad - kBytes]},
      {"clean_up_tokenization_spaces", false},        {"model_max_length", 131072}};
  const Json generation = {{"bos_token_id", ids.bos},
                           {"do_sample", false},
                           {"eos_token_id", {ids.eos, ids.end_of_text}},
                           {"pad_token_id", ids.pad}};
  return {{"tokenizer.json", tokenizer()},
          {"tokenizer_config.json", config.dump(2) + "\n"},
          {"generation_config.json", generation.dump(2) + "\n"}};
}

}  // namespace mxfp4::job
