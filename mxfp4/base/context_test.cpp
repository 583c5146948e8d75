#include "mxfp4/base/context.h"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/base/memory.h"

namespace mxfp4 {
namespace {

class ForcedIsa {
 public:
  explicit ForcedIsa(const std::string& name) {
    if (const char* old = std::getenv("MXFP4_ISA")) old_ = old;
    setenv("MXFP4_ISA", name.c_str(), 1);
  }
  ~ForcedIsa() { setenv("MXFP4_ISA", old_.c_str(), 1); }

 private:
  std::string old_;
};

TEST(Isa, EverySupportedOneCanBeForced) {
  for (const Isa isa : built_isas()) {
    const ForcedIsa forced(to_string(isa));
    if (supported(isa)) {
      EXPECT_EQ(default_isa(), isa) << to_string(isa);
    } else {
      EXPECT_THROW(default_isa(), Error) << to_string(isa);
    }
  }
}

TEST(Isa, ScalarIsAlwaysThereAndLast) {
  EXPECT_EQ(built_isas().back(), Isa::scalar);
  EXPECT_TRUE(supported(Isa::scalar));
}

TEST(Isa, TheDefaultIsTheBestSupported) {
  const ForcedIsa none("");
  for (const Isa isa : built_isas()) {
    if (!supported(isa)) continue;
    EXPECT_EQ(default_isa(), isa);
    break;
  }
}

TEST(Isa, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const ForcedIsa forced("sse9");
  try {
    default_isa();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("MXFP4_ISA=sse9"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("scalar"), std::string::npos) << error.what();
  }
}

TEST(Machine, HasThreadsAndAName) {
  EXPECT_GE(available_threads(), 1);
  EXPECT_FALSE(machine_name().empty());
}

TEST(Memory, CountsWhatIsTouched) {
  const std::uint64_t before = anonymous_memory();
  ASSERT_GT(before, 0u);
  constexpr std::size_t kSize = 64 << 20;
  std::string touched(kSize, 'x');
  const std::uint64_t after = anonymous_memory();
  EXPECT_EQ(touched[kSize - 1], 'x');
  EXPECT_GE(after, before + kSize / 2);
}

TEST(Disk, IsFoundForAPathThatDoesNotExistYet) {
  EXPECT_GT(available_disk("/tmp/nonexistent/deeper/still"), 0u);
  EXPECT_GT(available_disk("relative-nonexistent"), 0u);
}

}  // namespace
}  // namespace mxfp4
