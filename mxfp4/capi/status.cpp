#include <new>
#include <stdexcept>
#include <string>

#include "mxfp4/base/context.h"
#include "mxfp4/base/version.h"
#include "mxfp4/capi/capi_internal.h"

namespace mxfp4::capi {
namespace {

constexpr mxfp4_status status_of(ErrorCode code) noexcept {
  return static_cast<mxfp4_status>(code) + 1;
}

static_assert(status_of(ErrorCode::invalid_argument) == MXFP4_INVALID_ARGUMENT);
static_assert(status_of(ErrorCode::corrupt_file) == MXFP4_CORRUPT_FILE);
static_assert(status_of(ErrorCode::unsupported) == MXFP4_UNSUPPORTED);
static_assert(status_of(ErrorCode::io) == MXFP4_IO);
static_assert(status_of(ErrorCode::device) == MXFP4_DEVICE);
static_assert(status_of(ErrorCode::out_of_memory) == MXFP4_OUT_OF_MEMORY);
static_assert(status_of(ErrorCode::interrupted) == MXFP4_INTERRUPTED);

struct LastError {
  std::string text;
  const char* shown = "";
};
thread_local LastError last_error;

mxfp4_status remember(ErrorCode code, const char* message) noexcept {
  try {
    last_error.text = message;
    last_error.shown = last_error.text.c_str();
  } catch (const std::bad_alloc&) {
    last_error.shown = "out of memory, also for the message";
  }
  return status_of(code);
}

}  // namespace

mxfp4_status caught() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return remember(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return remember(ErrorCode::out_of_memory, "out of memory");
  } catch (const std::length_error& error) {
    return remember(ErrorCode::out_of_memory, error.what());
  } catch (const std::exception& error) {
    return remember(ErrorCode::unsupported, error.what());
  } catch (...) {
    return remember(ErrorCode::unsupported, "an exception of an unknown type");
  }
}

}  // namespace mxfp4::capi

extern "C" {

const char* mxfp4_status_name(mxfp4_status status) {
  if (status == MXFP4_OK) return "ok";
  return status < 0 ? "unknown" : mxfp4::to_string(static_cast<mxfp4::ErrorCode>(status - 1));
}

const char* mxfp4_last_error(void) {
  return mxfp4::capi::last_error.shown;
}

const char* mxfp4_version(void) {
  return mxfp4::version();
}

mxfp4_status mxfp4_machine(const char** text) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_machine", "text", text);
    thread_local std::string machine;
    const mxfp4::Context context;
    machine = fmt::format("{}, {} threads, {}", mxfp4::machine_name(), context.threads,
                          mxfp4::to_string(context.isa));
    *text = machine.c_str();
  });
}

}  // extern "C"
