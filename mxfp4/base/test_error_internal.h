// The error that an action must throw, for tests.
#pragma once

#include <functional>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"

namespace mxfp4 {

inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::device, "");
}

}  // namespace mxfp4
