#include "mxfp4/base/device.h"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/base/context.h"
#include "mxfp4/base/error.h"

namespace mxfp4 {
namespace {

TEST(Device, IsNamedAsItIsRead) {
  for (const std::string name : {"cpu", "vulkan", "vulkan:0", "vulkan:12", "cuda", "cuda:1"}) {
    EXPECT_EQ(to_string(parse_device(name)), name);
  }
  EXPECT_TRUE(parse_device("cpu").is_cpu());
  EXPECT_EQ(parse_device("vulkan:3"), (Device{Backend::vulkan, 3}));
  EXPECT_EQ(parse_device("cuda:2"), (Device{Backend::cuda, 2}));
}

TEST(Device, AnythingElseIsRefused) {
  for (const std::string name : {"", "gpu", "vulkan:", "vulkan:-1", "vulkan:1x", "vulkan1", "cpu:0",
                                 "cuda:", "cudax", "vulkan:99999999999"}) {
    EXPECT_THROW(parse_device(name), Error) << name;
  }
}

TEST(Device, IsTheOneThatTheEnvironmentNames) {
  ::unsetenv("MXFP4_DEVICE");
  EXPECT_TRUE(Context().device.is_cpu());
  ::setenv("MXFP4_DEVICE", "vulkan:1", 1);
  EXPECT_EQ(Context().device, (Device{Backend::vulkan, 1}));
  ::setenv("MXFP4_DEVICE", "gpu", 1);
  try {
    default_device();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_STREQ(error.what(),
                 "MXFP4_DEVICE: 'gpu' is no device; cpu, vulkan, vulkan:N, cuda and cuda:N are");
  }
  ::unsetenv("MXFP4_DEVICE");
}

}  // namespace
}  // namespace mxfp4
