#include "mxfp4/container/safetensors.h"

#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/container/test_safetensors_bytes.h"

namespace mxfp4::safetensors {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(MXFP4_TEST_DATA) / "safetensors-files";

std::string content_of(const fs::path& path) {
  return read_file(path, 1 << 20);
}

nlohmann::json golden_cases() {
  return nlohmann::json::parse(content_of(kGolden / "cases.json"));
}

// What open() says without the path, or "" if it accepts the file.
std::string refusal(const fs::path& path) {
  try {
    open(path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file) << error.what();
    const std::string message = error.what(), prefix = path.native() + ": ";
    EXPECT_TRUE(message.starts_with(prefix)) << message;
    return message.substr(prefix.size());
  }
}

// Beginnings of our refusals. The package accepts the last group, which its own format forbids.
const std::map<std::string, std::string> kRefusals = {
    {"array", "the header begins with byte 0x5b, not with '{'"},
    {"begin-after-end", "tensor 'a': data_offsets [4, 0] end before they begin"},
    {"bom", "the header begins with byte 0xef, not with '{'"},
    {"bytes-do-not-fit-shape", "tensor 'a': data_offsets [0, 4] hold 4 bytes, U8 of shape [3] takes 3"},
    {"deep", "the header begins with byte 0x5b, not with '{'"},
    {"empty-object-data", "the file has 2 bytes of data, but no tensor"},
    {"f4-bytes-as-elements", "tensor 'a': data_offsets [0, 4] hold 4 bytes, F4 of shape [4] takes 2"},
    {"f4-odd-count", "tensor 'a' is F4 of shape [3, 3]: the elements do not fill whole bytes"},
    {"f4-scalar", "tensor 'a' is F4 of shape []: the elements do not fill whole bytes"},
    {"f6-odd", "tensor 'a' is F6_E3M2 of shape [3]: the elements do not fill whole bytes"},
    {"float-offsets", "tensor 'a': data_offsets holds 0.0, which is not an integer from 0 to 2^64 - 1"},
    {"header-100000001",
     "no safetensors file: a header of 100000001 bytes is longer than the format's limit of 100000000"},
    {"header-2-to-63",
     "no safetensors file: a header of 9223372036854775808 bytes is longer than the format's limit of "
     "100000000"},
    {"header-empty", "the header is empty"},
    {"header-past-end", "a header of 50 bytes exceeds the file of 10 bytes"},
    {"hole", "tensor 'b' begins at byte 3 of the data, but byte 2 belongs to no tensor"},
    {"hole-at-start", "tensor 'a' begins at byte 2 of the data, but byte 0 belongs to no tensor"},
    {"invalid-utf8", "the header is not JSON at its byte 2: "},
    {"lower-case-dtype", "tensor 'a': dtype 'u8' is unknown"},
    {"metadata-integer", "__metadata__: 'a' is 1, not a string"},
    {"metadata-nested", "__metadata__: 'a' is an object, not a string"},
    {"missing-field", "tensor 'a': shape is missing"},
    {"negative-dimension", "tensor 'a': shape holds -4, which is not an integer from 0 to 2^63 - 1"},
    {"negative-offset", "tensor 'a': data_offsets holds -4, which is not an integer from 0 to 2^64 - 1"},
    {"nul-after", "the header is not JSON at its byte 53: a zero byte"},
    {"overflow", "tensor 'a' is U8 of shape [4294967296, 4294967296]: the product of the sizes overflows"},
    {"overflow-times-zero",
     "tensor 'a' is U8 of shape [1099511627776, 1099511627776, 0]: the product of the sizes overflows"},
    {"overlap", "tensor 'b' begins at byte 2 of the data, but tensor 'a' ends at byte 3"},
    {"same-range-twice", "tensor 'b' begins at byte 0 of the data, but tensor 'a' ends at byte 4"},
    {"short-data", "tensor 'a' ends at byte 8 of the data, but the file has 4 bytes of data"},
    {"three-offsets", "tensor 'a': data_offsets holds 3 numbers, not 2"},
    {"trailing-bytes", "the last tensor ends at byte 2 of the data, but the file has 4 bytes of data"},
    {"trailing-comma", "the header is not JSON at its byte 53: "},
    {"two-objects", "the header is not JSON at its byte 53: "},
    {"unknown-dtype", "tensor 'a': dtype 'Q4' is unknown"},

    {"duplicate-key", "tensor 'a' stands twice in the header"},
    {"duplicate-key-escaped", "tensor 'a' stands twice in the header"},
    {"metadata-null", "__metadata__ is null, not an object of strings"},
    {"space-before", "the header begins with byte 0x20, not with '{'"},
};

bool stricter_than_the_package(const std::string& name) {
  return name == "duplicate-key" || name == "duplicate-key-escaped" || name == "metadata-null" ||
         name == "space-before";
}

TEST(Safetensors, RefusesWhatThePackageRefusesAndSaysWhy) {
  std::size_t refused = 0;
  for (const nlohmann::json& golden : golden_cases()) {
    const fs::path file = golden.at("file").get<std::string>();
    if (golden.at("accepted") && !stricter_than_the_package(file.stem())) continue;
    ASSERT_EQ(kRefusals.count(file.stem()), 1u) << file;
    const std::string expected = kRefusals.at(file.stem()), said = refusal(kGolden / file);
    EXPECT_EQ(said.substr(0, expected.size()), expected) << file;
    ++refused;
  }
  EXPECT_EQ(refused, kRefusals.size());
}

TEST(Safetensors, ReadsWhatThePackageReads) {
  int read = 0;
  for (const nlohmann::json& golden : golden_cases()) {
    const fs::path name = golden.at("file").get<std::string>();
    if (!golden.at("accepted") || stricter_than_the_package(name.stem())) continue;
    const TensorFilePtr file = open(kGolden / name);
    nlohmann::json tensors = nlohmann::json::object();
    std::size_t place = 0;
    for (const StoredTensor& tensor : file->tensors) {
      tensors[tensor.name] = {to_string(tensor.dtype), tensor.shape};
      for (const std::byte byte : tensor.bytes) EXPECT_EQ(byte, std::byte(place++ % 251)) << name;
    }
    EXPECT_EQ(tensors, golden.at("tensors")) << name;
    ++read;
  }
  EXPECT_EQ(read, 58 - 39);
}

TEST(Safetensors, ListsTensorsByTheirPlace) {
  const TensorFilePtr file = open(kGolden / "reversed-order.safetensors");
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_EQ(file->tensors[1].name, "b");
  EXPECT_EQ(file->tensors[1].bytes.data(), file->map.bytes().data() + file->map.bytes().size() - 2);
}

TEST(Safetensors, ReadsTheMetadata) {
  using Metadata = std::map<std::string, std::string>;
  EXPECT_EQ(open(kGolden / "metadata.safetensors")->metadata, (Metadata{{"a", "b"}}));
  EXPECT_EQ(open(kGolden / "plain.safetensors")->metadata, Metadata{});
}

TEST(Safetensors, HoldsForEveryGoldenFile) {
  int accepted = 0;
  for (const fs::directory_entry& file : fs::directory_iterator(kGolden)) {
    const std::string bytes = content_of(file.path());
    ASSERT_NO_THROW(accepted += check_bytes(std::as_bytes(std::span(bytes)))) << file.path();
    const std::string fitting = with_fitting_length(bytes);
    ASSERT_NO_THROW(check_bytes(std::as_bytes(std::span(fitting)))) << file.path();
  }
  EXPECT_EQ(accepted, 58 - 39 + 1);
}

TEST(Safetensors, HoldsForEveryFileInTheFuzzersCorpus) {
  int files = 0;
  for (const fs::directory_entry& file : fs::directory_iterator(kGolden / "../fuzz/safetensors_fuzz")) {
    const std::string bytes = content_of(file.path()), fitting = with_fitting_length(bytes);
    ASSERT_NO_THROW(check_bytes(std::as_bytes(std::span(bytes)))) << file.path();
    ASSERT_NO_THROW(check_bytes(std::as_bytes(std::span(fitting)))) << file.path();
    ++files;
  }
  EXPECT_GT(files, 0);
}

TEST(Safetensors, HoldsWhateverOneByteIsChangedTo) {
  for (const char* name : {"metadata.safetensors", "f4.safetensors"}) {
    const std::string original = content_of(kGolden / name);
    for (std::size_t i = 0; i < original.size(); ++i) {
      std::string bytes = original;
      for (int value = 0; value < 256; ++value) {
        bytes[i] = static_cast<char>(value);
        ASSERT_NO_THROW(check_bytes(std::as_bytes(std::span(bytes))))
            << name << " byte " << i << " = " << value;
      }
    }
  }
}

TEST(Safetensors, RefusesAFileCutAtAnyByte) {
  const TestDirectory directory;
  const std::string whole = content_of(kGolden / "all-dtypes.safetensors");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> heap(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_FALSE(check_bytes(std::as_bytes(std::span(heap)))) << size;
  }
  for (std::size_t size = 0; size < whole.size(); size += size < 16 ? 1 : 97) {
    std::ofstream(directory / "cut.safetensors", std::ios::binary) << whole.substr(0, size);
    EXPECT_NE(refusal(directory / "cut.safetensors"), "") << size;
  }
}

TEST(Safetensors, ReadsNoMoreThanTheHeader) {
  const TestDirectory directory;
  const fs::path path = directory / "large.safetensors";
  constexpr std::uint64_t kSize = std::uint64_t{1} << 40;
  std::ofstream(path, std::ios::binary)
      << file_of(R"({"a":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}})", "");
  fs::resize_file(path, fs::file_size(path) + kSize);
  const TensorFilePtr file = open(path);
  ASSERT_EQ(file->tensors.at(0).bytes.size(), kSize);
  const auto page =
      (reinterpret_cast<std::uintptr_t>(file->map.bytes().data()) + kSize / 2) & ~std::uintptr_t{4095};
  unsigned char resident = 1;
  ASSERT_EQ(mincore(reinterpret_cast<void*>(page), 4096, &resident), 0);
  EXPECT_EQ(resident & 1, 0);
}

TEST(Safetensors, NamesAFileThatIsNotThere) {
  try {
    open("/nonexistent/model.safetensors");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::io);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/model.safetensors"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace mxfp4::safetensors
