// Statuses, messages, version and machine, as C sees them.
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>

#include "mxfp4/capi/test_capi.h"

static void every_status_has_a_name(void) {
  const char* names[] = {"ok", "invalid_argument", "corrupt_file",  "unsupported",
                         "io", "device",           "out_of_memory", "interrupted"};
  for (int32_t i = 0; i < 8; ++i) CHECK(strcmp(mxfp4_status_name(i), names[i]) == 0);
  CHECK(MXFP4_INTERRUPTED == 7);
  const int32_t others[] = {8, 99, -1, INT32_MAX, INT32_MIN};
  for (int i = 0; i < 5; ++i) CHECK(strcmp(mxfp4_status_name(others[i]), "unknown") == 0);
}

static void the_version_is_a_version(void) {
  int major = 0, minor = 0, patch = 0;
  CHECK(sscanf(mxfp4_version(), "%d.%d.%d", &major, &minor, &patch) == 3);
}

static void the_machine_has_a_name(void) {
  const char* text = NULL;
  WORKS(mxfp4_machine(&text));
  CHECK(text != NULL && strstr(text, " threads, ") != NULL);
  REFUSES("mxfp4_machine: text is null", mxfp4_machine(NULL));
}

static void an_unknown_instruction_set_is_refused(void) {
  const char* const before = getenv("MXFP4_ISA");
  char kept[64] = "";
  if (before != NULL) snprintf(kept, sizeof kept, "%s", before);
  setenv("MXFP4_ISA", "mmx", 1);
  const char* text = NULL;
  REFUSES("MXFP4_ISA=mmx: unknown", mxfp4_machine(&text));
  const float x[1] = {1.0f};
  uint8_t codes[16], scale;
  REFUSES("MXFP4_ISA=mmx",
          mxfp4_quantize(x, sizeof x, MXFP4_F32, 1, 1, NULL, codes, sizeof codes, &scale, 1, NULL));
  if (before == NULL) unsetenv("MXFP4_ISA");
  if (before != NULL) setenv("MXFP4_ISA", kept, 1);
}

/// Fails in its own way many times, and must see its own message each time.
static void* fail_with(void* rows) {
  const int64_t mine = *(const int64_t*)rows;
  char wanted[64];
  snprintf(wanted, sizeof wanted, "a size of [%d, 1]", (int)mine);
  for (int i = 0; i < 1000; ++i) {
    size_t codes, scales;
    if (mxfp4_sizes(mine, 1, 32, &codes, &scales) != MXFP4_INVALID_ARGUMENT) return "was not refused";
    if (strstr(mxfp4_last_error(), wanted) == NULL) return "saw another thread's message";
  }
  return NULL;
}

static void* sees_no_message(void* unused) {
  (void)unused;
  return *mxfp4_last_error() == 0 ? NULL : "saw another thread's message";
}

static void the_message_is_this_threads(void) {
  int64_t rows[2] = {-1, -2};
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i) CHECK(pthread_create(&threads[i], NULL, fail_with, &rows[i]) == 0);
  for (int i = 0; i < 2; ++i) {
    void* complaint = "";
    CHECK(pthread_join(threads[i], &complaint) == 0);
    CHECK(complaint == NULL);
  }
  REFUSES("mxfp4_machine: text is null", mxfp4_machine(NULL));
  void* complaint = "";
  CHECK(pthread_create(&threads[0], NULL, sees_no_message, NULL) == 0);
  CHECK(pthread_join(threads[0], &complaint) == 0);
  CHECK(complaint == NULL);
}

static void the_message_outlives_what_works(void) {
  REFUSES("mxfp4_machine: text is null", mxfp4_machine(NULL));
  const char* text = NULL;
  WORKS(mxfp4_machine(&text));
  CHECK(strcmp(mxfp4_last_error(), "mxfp4_machine: text is null") == 0);
}

int main(void) {
  CHECK(strcmp(mxfp4_last_error(), "") == 0);
  every_status_has_a_name();
  the_version_is_a_version();
  the_machine_has_a_name();
  an_unknown_instruction_set_is_refused();
  the_message_is_this_threads();
  the_message_outlives_what_works();
  return failures != 0;
}
