#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/base/file.h"
#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

TEST(WithQuantization, AddsAtTheEndAndKeepsTheRestToTheLetter) {
  const std::string text = R"({
  "z": 1e-05,
  "a": [
    150000.0,
    Infinity
  ],
  "escaped \" : {": "\u00e9, }"
})";
  EXPECT_EQ(with_quantization(text, R"({"quant_method": "mxfp4", "list": ["a"]})"), R"({
  "z": 1e-05,
  "a": [
    150000.0,
    Infinity
  ],
  "escaped \" : {": "\u00e9, }",
  "quantization_config": {
    "quant_method": "mxfp4",
    "list": [
      "a"
    ]
  }
}
)");
}

TEST(WithQuantization, ReplacesInPlaceAndRemoves) {
  const std::string text = R"({
    "a": 1,
    "quantization": {"bits": 4},
    "b": 2,
    "quantization_config": {"bits": 4},
    "c": 3
})";
  EXPECT_EQ(with_quantization(text, R"({"x": {}})"),
            "{\n    \"a\": 1,\n    \"quantization_config\": {\n        \"x\": {}\n    },\n    \"b\": 2,\n    "
            "\"c\": 3\n}\n");
  EXPECT_EQ(with_quantization(text, ""), "{\n    \"a\": 1,\n    \"b\": 2,\n    \"c\": 3\n}\n");
}

TEST(WithQuantization, ARealConfigComesBack) {
  const std::string text = read_file(test_model("tiny-gpt-oss/hf-mxfp4/config.json"), 1 << 20);
  const std::string removed = with_quantization(text, "");
  const auto before = nlohmann::json::parse(text);
  auto expected = before;
  expected.erase("quantization_config");
  EXPECT_EQ(nlohmann::json::parse(removed), expected);
  EXPECT_EQ(nlohmann::json::parse(with_quantization(removed, before["quantization_config"].dump())), before);
  const std::string bf16 = read_file(test_model("tiny-gpt-oss/bf16/config.json"), 1 << 20);
  EXPECT_EQ(with_quantization(bf16, ""), bf16);
}

TEST(WithQuantization, RemovesFromTheTextModelAsWell) {
  const std::string text = R"({
  "text_config": {
    "hidden_size": 8,
    "quantization_config": {"quant_method": "fp8"}
  },
  "vision_config": {
    "quantization_config": null
  }
})";
  EXPECT_EQ(with_quantization(text, ""), R"({
  "text_config": {
    "hidden_size": 8
  },
  "vision_config": {
    "quantization_config": null
  }
}
)");
}

TEST(WithQuantization, SetsTheDtypeWhereItStands) {
  EXPECT_EQ(with_quantization(R"({"torch_dtype": "float32"})", "", Dtype::bf16),
            "{\n  \"torch_dtype\": \"bfloat16\"\n}\n");
  EXPECT_EQ(with_quantization(R"({"dtype": null, "a": 1})", "", Dtype::f16),
            "{\n  \"dtype\": \"float16\",\n  \"a\": 1\n}\n");
  EXPECT_EQ(with_quantization("{}", "", Dtype::f32), "{\n  \"dtype\": \"float32\"\n}\n");
}

TEST(WithQuantization, TakesSmallAndOddTexts) {
  EXPECT_EQ(with_quantization("", ""), "{}\n");
  EXPECT_EQ(with_quantization("{}", ""), "{}\n");
  EXPECT_EQ(with_quantization(" {\t} \n", R"({"a":1})"),
            "{\n  \"quantization_config\": {\n    \"a\": 1\n  }\n}\n");
  EXPECT_EQ(with_quantization(R"({"a":{"b":[1,{"c":"]"}]},"d":"\\"})", ""),
            "{\n  \"a\": {\"b\":[1,{\"c\":\"]\"}]},\n  \"d\": \"\\\\\"\n}\n");
  EXPECT_EQ(with_quantization("{\n\t\"a\": 1}", R"({"b":1})"),
            "{\n\t\"a\": 1,\n\t\"quantization_config\": {\n\t\t\"b\": 1\n\t}\n}\n");
  EXPECT_EQ(with_quantization(R"({"quantization\u005fconfig": 1, "\u0061": 2})", ""),
            "{\n  \"\\u0061\": 2\n}\n");
  const std::string wide = "{\n" + std::string(1000, ' ') + "\"a\": 1, \"b\": 2}";
  EXPECT_EQ(with_quantization(wide, ""), "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
}

TEST(WithQuantization, RefusesWhatIsNoObject) {
  EXPECT_TRUE(has_all(error_of([] { with_quantization("[]", ""); }), {"corrupt_file"}));
  EXPECT_TRUE(has_all(error_of([] { with_quantization("{", ""); }), {"corrupt_file"}));
  EXPECT_TRUE(has_all(error_of([] { with_quantization("{}", "[]"); }), {"invalid_argument"}));
  EXPECT_TRUE(has_all(error_of([] { with_quantization("{}", "", Dtype::u8); }), {"invalid_argument", "U8"}));
}

}  // namespace
}  // namespace mxfp4
