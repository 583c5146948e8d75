#include "mxfp4/tensor/dtype.h"

#include <cstdlib>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

constexpr Dtype kAll[] = {
#define MXFP4_DTYPE(id, name, bits) Dtype::id,
#include "mxfp4/tensor/dtypes.inc"
#undef MXFP4_DTYPE
};

TEST(Dtype, HasANameThatLeadsBackToIt) {
  for (const Dtype dtype : kAll) EXPECT_EQ(parse_dtype(to_string(dtype)), dtype) << to_string(dtype);
}

TEST(Dtype, IsNotFoundUnderAnotherSpelling) {
  for (const char* name : {"", "f32", "F32 ", "F", "FLOAT", "BF", "Q4"})
    EXPECT_FALSE(parse_dtype(name)) << name;
}

TEST(Dtype, HasTheBitsThatItsNameSays) {
  const std::map<std::string, int> unnumbered = {{"BOOL", 8}};
  for (const Dtype dtype : kAll) {
    const std::string name = to_string(dtype);
    const std::size_t digit = name.find_first_of("0123456789");
    const int bits = digit == std::string::npos ? unnumbered.at(name) : std::atoi(name.c_str() + digit);
    EXPECT_EQ(bits_of(dtype), bits) << name;
  }
}

TEST(Dtype, ComesInTheOrderOfItsAlignment) {
  // F4 < F6 < 8 < ... but BOOL, of 8 bits, which safetensors puts first.
  for (std::size_t i = 2; i < std::size(kAll); ++i) EXPECT_GE(bits_of(kAll[i]), bits_of(kAll[i - 1]));
  EXPECT_EQ(kAll[0], Dtype::boolean);
}

TEST(Dtype, OfDenseFloatsAreThree) {
  for (const Dtype dtype : kAll) {
    const std::string name = to_string(dtype);
    EXPECT_EQ(is_dense_float(dtype), name == "F32" || name == "F16" || name == "BF16") << name;
  }
}

}  // namespace
}  // namespace mxfp4
