// Rules of the header, each with a header that breaks it or just keeps it.
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/container/test_safetensors_bytes.h"

namespace mxfp4::safetensors {
namespace {

// What read() says, without the path, of that header and as many bytes of data; "" if it accepts them.
std::string refusal(std::string_view header, std::size_t data) {
  const std::string file = file_of(header, std::string(data, 'x'));
  try {
    check_bytes(std::as_bytes(std::span(file)));
    read(std::as_bytes(std::span(file)), "PATH");
    return "";
  } catch (const Error& error) {
    return std::string(error.what()).substr(std::string_view("PATH: ").size());
  }
}

// What it says of a tensor 'a' that is written as `entry`, with 4 bytes of data.
std::string refusal_of_entry(std::string_view entry) {
  return refusal("{\"a\":" + std::string(entry) + "}", 4);
}

std::string refusal_of_shape(std::string_view shape) {
  return refusal_of_entry(R"({"dtype":"U8","data_offsets":[0,4],"shape":)" + std::string(shape) + "}");
}

std::string refusal_of_offsets(std::string_view offsets) {
  return refusal_of_entry(R"({"dtype":"U8","shape":[4],"data_offsets":)" + std::string(offsets) + "}");
}

Content accepted(std::string_view header, std::size_t data) {
  const std::string file = file_of(header, std::string(data, 'x'));
  EXPECT_TRUE(check_bytes(std::as_bytes(std::span(file)))) << header;
  return read(std::as_bytes(std::span(file)), "PATH");
}

constexpr std::string_view kFour = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";

std::string entry_of(std::string_view name) {
  return "\"" + std::string(name) + "\":" + std::string(kFour);
}

TEST(SafetensorsHeader, MustHaveALength) {
  for (std::size_t size = 0; size < 8; ++size) {
    const std::string file(size, '\0');
    try {
      read(std::as_bytes(std::span(file)), "PATH");
      ADD_FAILURE() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(),
                "PATH: " + std::to_string(size) + " bytes do not hold the header's length, which takes 8");
    }
  }
}

TEST(SafetensorsHeader, MayHaveAHundredMillionBytes) {
  std::string file = file_of("", "");
  const auto said_of_length = [&](std::uint64_t length) {
    for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(length >> (8 * i));
    try {
      read(std::as_bytes(std::span(file)), "PATH");
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(said_of_length(100'000'000), "PATH: a header of 100000000 bytes exceeds the file of 8 bytes");
  EXPECT_EQ(said_of_length(100'000'001),
            "PATH: no safetensors file: a header of 100000001 bytes is longer than the format's limit of "
            "100000000");
}

TEST(SafetensorsHeader, BeginsWithABrace) {
  EXPECT_EQ(refusal("", 0), "the header is empty");
  EXPECT_EQ(refusal("\n{}", 0), "the header begins with byte 0x0a, not with '{'");
  EXPECT_EQ(refusal("null", 0), "the header begins with byte 0x6e, not with '{'");
}

// The rest of the message is the JSON parser's.
std::string beginning(const std::string& message) {
  return message.substr(0, message.rfind(": "));
}

TEST(SafetensorsHeader, EndsWithNothingButWhitespace) {
  EXPECT_EQ(refusal("{} \t\r\n", 0), "");
  EXPECT_EQ(refusal(std::string_view("{}\0", 3), 0), "the header is not JSON at its byte 2: a zero byte");
  EXPECT_EQ(refusal(std::string_view("{}\0}", 4), 0), "the header is not JSON at its byte 2: a zero byte");
  EXPECT_EQ(beginning(refusal("{}{}", 0)), "the header is not JSON at its byte 2");
  EXPECT_EQ(beginning(refusal("{", 0)), "the header is not JSON at its byte 1");
}

TEST(SafetensorsHeader, IsStrictJson) {
  for (const char* header :
       {"{'a':1}", "{\"a\"}", "{a:1}", "{/**/}", "{\"a\nb\":1}", "{\"\\x\":1}", "{\"a\":tru}"}) {
    EXPECT_TRUE(refusal(header, 0).starts_with("the header is not JSON at its byte ")) << header;
  }
  for (const char* value : {"01", "+1", ".5", "NaN", "1e999", "[1,]", "{,}", "\"\t\""}) {
    const std::string said = refusal_of_entry("{\"ignored\":" + std::string(value) + "}");
    EXPECT_TRUE(said.starts_with("the header is not JSON at its byte ")) << value << ": " << said;
  }
}

TEST(SafetensorsHeader, IsUtf8) {
  for (const char* name :
       {"\xff", "\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\\ud800", "\\udc00"}) {
    EXPECT_TRUE(refusal("{" + entry_of(name) + "}", 4).starts_with("the header is not JSON at its byte "))
        << name;
  }
  EXPECT_EQ(accepted("{" + entry_of("\\ud83d\\ude00\xe2\x82\xac") + "}", 4).tensors[0].name,
            "\U0001F600\u20AC");
}

TEST(SafetensorsHeader, TakesAnyNameThatJsonCanWrite) {
  EXPECT_EQ(accepted("{" + entry_of("") + "}", 4).tensors[0].name, "");
  EXPECT_EQ(accepted("{" + entry_of("\\n\\u0000\\\"") + "}", 4).tensors[0].name, std::string("\n\0\"", 3));
}

TEST(SafetensorsHeader, RefusesANameThatStandsTwice) {
  const std::string twice = "tensor 'a' stands twice in the header";
  EXPECT_EQ(refusal("{" + entry_of("a") + "," + entry_of("a") + "}", 4), twice);
  EXPECT_EQ(refusal("{" + entry_of("a") + "," + entry_of("\\u0061") + "}", 4), twice);
  EXPECT_EQ(refusal("{" + entry_of("a") + "," + entry_of("b") + "," + entry_of("a") + "}", 4), twice);
}

TEST(SafetensorsHeader, RefusesAFieldThatStandsTwice) {
  const std::string four(kFour.substr(0, kFour.size() - 1));
  EXPECT_EQ(refusal_of_entry(four + R"(,"dtype":"U8"})"), "tensor 'a': 'dtype' stands twice");
  EXPECT_EQ(refusal_of_entry(four + R"(,"shape":[4]})"), "tensor 'a': 'shape' stands twice");
  EXPECT_EQ(refusal_of_entry(four + R"(,"data_offset\u0073":[0,4]})"),
            "tensor 'a': 'data_offsets' stands twice");
}

TEST(SafetensorsHeader, RefusesMetadataThatStandTwice) {
  EXPECT_EQ(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), "'__metadata__' stands twice");
  EXPECT_EQ(refusal(R"({"__metadata__":{"a":"","\u0061":""}})", 0), "__metadata__: 'a' stands twice");
}

TEST(SafetensorsHeader, RefusesMetadataThatAreNoStrings) {
  EXPECT_EQ(refusal(R"({"__metadata__":null})", 0), "__metadata__ is null, not an object of strings");
  EXPECT_EQ(refusal(R"({"__metadata__":[]})", 0), "__metadata__ is an array, not an object of strings");
  EXPECT_EQ(refusal(R"({"__metadata__":"a"})", 0), "__metadata__ is a string, not an object of strings");
  EXPECT_EQ(refusal(R"({"__metadata__":{"a":null}})", 0), "__metadata__: 'a' is null, not a string");
  EXPECT_EQ(refusal(R"({"__metadata__":{"a":[]}})", 0), "__metadata__: 'a' is an array, not a string");
  EXPECT_EQ(refusal(R"({"__metadata__":{"a":-1}})", 0), "__metadata__: 'a' is -1, not a string");
  EXPECT_EQ(refusal(R"({"__metadata__":{"a":1.5}})", 0), "__metadata__: 'a' is 1.5, not a string");
}

TEST(SafetensorsHeader, TakesMetadataAtAnyPlace) {
  const Content content = accepted("{" + entry_of("a") + R"(,"__metadata__":{"\u20ac":"","b":"\n"}})", 4);
  EXPECT_EQ(content.metadata, (std::map<std::string, std::string>{{"\u20AC", ""}, {"b", "\n"}}));
  EXPECT_EQ(content.tensors.size(), 1u);
}

TEST(SafetensorsHeader, RefusesAnEntryThatIsNoObject) {
  for (const auto& [entry, said] :
       {std::pair("null", "null"), std::pair("true", "true"), std::pair("1", "1"),
        std::pair("\"U8\"", "a string"), std::pair(R"(["U8",[4],[0,4]])", "an array")}) {
    EXPECT_EQ(refusal_of_entry(entry), "tensor 'a' is " + std::string(said) + ", not an object");
  }
}

TEST(SafetensorsHeader, RefusesAnEntryThatLacksAField) {
  EXPECT_EQ(refusal_of_entry(R"({"shape":[4],"data_offsets":[0,4]})"), "tensor 'a': dtype is missing");
  EXPECT_EQ(refusal_of_entry(R"({"dtype":"U8","data_offsets":[0,4]})"), "tensor 'a': shape is missing");
  EXPECT_EQ(refusal_of_entry(R"({"dtype":"U8","shape":[4]})"), "tensor 'a': data_offsets is missing");
  EXPECT_EQ(refusal("{" + entry_of("a") + ",\"b\":{}}", 4), "tensor 'b': dtype is missing");
}

TEST(SafetensorsHeader, SkipsFieldsThatItDoesNotKnow) {
  EXPECT_EQ(refusal_of_entry(
                R"({"x":{"dtype":1,"y":[{},[null]],"__metadata__":-1.5},"dtype":"U8","dtype ":0,"shape":[4],)"
                R"("x":true,"data_offsets":[0,4],"":[[],{"a":"b"}]})"),
            "");
}

TEST(SafetensorsHeader, SkipsADeepValueWithoutRecursion) {
  const std::size_t depth = 500'000;
  std::string entry = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":)";
  entry.append(depth, '[').append(depth, ']').append("}");
  EXPECT_EQ(refusal_of_entry(entry), "");
}

TEST(SafetensorsHeader, RefusesADtypeThatItDoesNotKnow) {
  EXPECT_EQ(refusal_of_entry(R"({"dtype":"u8"})"), "tensor 'a': dtype 'u8' is unknown");
  EXPECT_EQ(refusal_of_entry(R"({"dtype":""})"), "tensor 'a': dtype '' is unknown");
  EXPECT_EQ(refusal_of_entry(R"({"dtype":4})"), "tensor 'a': dtype is 4, not a string");
  EXPECT_EQ(refusal_of_entry(R"({"dtype":{"U8":null}})"), "tensor 'a': dtype is an object, not a string");
}

TEST(SafetensorsHeader, RefusesSizesThatAreNoIntegers) {
  for (const char* size : {"-1", "-0", "4.0", "4e0", "9223372036854775808", "18446744073709551616",
                           "-9223372036854775808", "-9223372036854775809", "null", "true"}) {
    EXPECT_EQ(
        refusal_of_shape("[" + std::string(size) + "]"),
        "tensor 'a': shape holds " + std::string(size) + ", which is not an integer from 0 to 2^63 - 1");
  }
  EXPECT_EQ(refusal_of_shape("[[4]]"),
            "tensor 'a': shape holds an array, which is not an integer from 0 to 2^63 - 1");
  EXPECT_EQ(refusal_of_shape("4"), "tensor 'a': shape is 4, not an array");
  EXPECT_EQ(refusal_of_shape("{}"), "tensor 'a': shape is an object, not an array");
}

TEST(SafetensorsHeader, RefusesSizesWhoseProductOverflows) {
  const std::string overflows = ": the product of the sizes overflows";
  EXPECT_EQ(refusal_of_shape("[4294967296,4294967296]"),
            "tensor 'a' is U8 of shape [4294967296, 4294967296]" + overflows);
  EXPECT_EQ(refusal_of_shape("[4294967296,4294967296,0]"),
            "tensor 'a' is U8 of shape [4294967296, 4294967296, 0]" + overflows);
  EXPECT_EQ(refusal_of_entry(R"({"dtype":"F64","shape":[288230376151711744],"data_offsets":[0,4]})"),
            "tensor 'a' is F64 of shape [288230376151711744]" + overflows);
}

TEST(SafetensorsHeader, TakesSizesThatA0Hides) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0), "");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[9223372036854775807,2,0],"data_offsets":[0,0]}})", 0), "");
}

TEST(SafetensorsHeader, RefusesOffsetsThatAreNotTwoIntegers) {
  for (const char* offset : {"-4", "-0", "4.0", "18446744073709551616", "null"}) {
    EXPECT_EQ(refusal_of_offsets("[0," + std::string(offset) + "]"),
              "tensor 'a': data_offsets holds " + std::string(offset) +
                  ", which is not an integer from 0 to 2^64 - 1");
  }
  EXPECT_EQ(refusal_of_offsets("[]"), "tensor 'a': data_offsets holds 0 numbers, not 2");
  EXPECT_EQ(refusal_of_offsets("[4]"), "tensor 'a': data_offsets holds 1 numbers, not 2");
  EXPECT_EQ(refusal_of_offsets("[0,4,4]"), "tensor 'a': data_offsets holds 3 numbers, not 2");
  EXPECT_EQ(refusal_of_offsets("4"), "tensor 'a': data_offsets is 4, not an array");
}

TEST(SafetensorsHeader, RefusesOffsetsThatDoNotFitTheShape) {
  EXPECT_EQ(refusal_of_offsets("[0,3]"),
            "tensor 'a': data_offsets [0, 3] hold 3 bytes, U8 of shape [4] takes 4");
  EXPECT_EQ(refusal_of_offsets("[4,0]"), "tensor 'a': data_offsets [4, 0] end before they begin");
  EXPECT_EQ(refusal_of_offsets("[18446744073709551612,0]"),
            "tensor 'a': data_offsets [18446744073709551612, 0] end before they begin");
}

TEST(SafetensorsHeader, RefusesSubByteElementsThatDoNotFillBytes) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F4","shape":[3,3],"data_offsets":[0,5]}})", 5),
            "tensor 'a' is F4 of shape [3, 3]: the elements do not fill whole bytes");
}

std::string two(std::string_view first, std::string_view second) {
  const auto entry = [](const char* name, std::string_view offsets) {
    return "\"" + std::string(name) + R"(":{"dtype":"U8","shape":[2],"data_offsets":)" +
           std::string(offsets) + "}";
  };
  return "{" + entry("a", first) + "," + entry("b", second) + "}";
}

TEST(SafetensorsHeader, ListsTensorsInAnyOrder) {
  EXPECT_EQ(refusal(two("[0,2]", "[2,4]"), 4), "");
  EXPECT_EQ(refusal(two("[2,4]", "[0,2]"), 4), "");
}

TEST(SafetensorsHeader, RefusesAHole) {
  EXPECT_EQ(refusal(two("[0,2]", "[3,5]"), 5),
            "tensor 'b' begins at byte 3 of the data, but byte 2 belongs to no tensor");
  EXPECT_EQ(refusal(two("[1,3]", "[3,5]"), 5),
            "tensor 'a' begins at byte 1 of the data, but byte 0 belongs to no tensor");
}

TEST(SafetensorsHeader, RefusesAnOverlap) {
  EXPECT_EQ(refusal(two("[0,2]", "[1,3]"), 3),
            "tensor 'b' begins at byte 1 of the data, but tensor 'a' ends at byte 2");
  EXPECT_EQ(refusal(two("[0,2]", "[0,2]"), 2),
            "tensor 'b' begins at byte 0 of the data, but tensor 'a' ends at byte 2");
}

TEST(SafetensorsHeader, RefusesDataThatAreTooLongOrTooShort) {
  EXPECT_EQ(refusal(two("[0,2]", "[2,4]"), 5),
            "the last tensor ends at byte 4 of the data, but the file has 5 bytes of data");
  EXPECT_EQ(refusal(two("[0,2]", "[2,4]"), 3),
            "tensor 'b' ends at byte 4 of the data, but the file has 3 bytes of data");
  EXPECT_EQ(refusal("{}", 1), "the file has 1 bytes of data, but no tensor");
}

TEST(SafetensorsHeader, TakesTensorsWithoutElementsAnywhereBetweenOthers) {
  const auto none = [](const char* offsets) {
    return R"({"n":{"dtype":"F32","shape":[0,3],"data_offsets":)" + std::string(offsets) + "}," +
           entry_of("a") + "}";
  };
  EXPECT_EQ(refusal(none("[0,0]"), 4), "");
  EXPECT_EQ(refusal(none("[4,4]"), 4), "");
  EXPECT_EQ(refusal(none("[2,2]"), 4),
            "tensor 'n' begins at byte 2 of the data, but tensor 'a' ends at byte 4");
  EXPECT_EQ(refusal(none("[8,8]"), 4),
            "tensor 'n' begins at byte 8 of the data, but byte 4 belongs to no tensor");
}

TEST(SafetensorsHeader, KeepsMessagesShortAndOnOneLine) {
  const std::string name(100'000, 'n');
  EXPECT_EQ(refusal("{\"" + name + "\":1}", 0),
            "tensor '" + name.substr(0, 200) + "...' is 1, not an object");
  EXPECT_EQ(refusal(R"({"\n\u001b[31m\u0000'":1})", 0), R"(tensor '\n\x1b[31m\x00'' is 1, not an object)");
  EXPECT_EQ(refusal_of_entry(R"({"dtype":")" + name + "\"}"),
            "tensor 'a': dtype '" + name.substr(0, 200) + "...' is unknown");
  EXPECT_LT(refusal_of_shape("[" + std::string(100'000, '9') + ".5]").size(), 400u);
  EXPECT_LT(refusal("{\"" + name + "\n", 0).size(), 400u);
  std::string ones = "[1";
  for (int i = 0; i < 1000; ++i) ones += ",1";
  EXPECT_EQ(refusal_of_shape(ones + "]"),
            "tensor 'a': data_offsets [0, 4] hold 4 bytes, U8 of shape "
            "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...] takes 1");
}

}  // namespace
}  // namespace mxfp4::safetensors
