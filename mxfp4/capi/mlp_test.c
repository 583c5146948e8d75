// Layers of checkpoints from C: against what transformers computed, and every way to be refused.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

#define MODELS MXFP4_TEST_DATA "/models/"
#define GPT_OSS MODELS "tiny-gpt-oss/hf-mxfp4"
#define DEEPSEEK MODELS "tiny-deepseek-v4/deepseek-v4"
#define LLAMA MODELS "tiny-llama/compressed-tensors"

enum { kH = 64 };

/// The bytes of a tensor of a safetensors file, which the caller frees.
static void* golden(const char* path, const char* name, size_t* bytes) {
  FILE* file = fopen(path, "rb");
  uint64_t size = 0, begin = 0, end = 0;
  CHECK(file != NULL && fread(&size, sizeof size, 1, file) == 1);
  char* header = calloc(size + 1, 1);
  CHECK(fread(header, 1, size, file) == size);
  char key[128];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char* entry = strstr(header, key);
  const char* offsets = entry == NULL ? NULL : strstr(entry, "\"data_offsets\":[");
  CHECK(offsets != NULL);
  if (offsets != NULL) {
    char* next = NULL;
    begin = strtoull(offsets + strlen("\"data_offsets\":["), &next, 10);
    end = strtoull(next + 1, NULL, 10);
  }
  *bytes = end - begin;
  void* data = malloc(*bytes + 1);
  CHECK(fseek(file, (long)(sizeof size + size + begin), SEEK_SET) == 0);
  CHECK(fread(data, 1, *bytes, file) == *bytes);
  free(header);
  fclose(file);
  return data;
}

static double distance(const float* y, const float* expected, size_t bytes) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < bytes / sizeof *y; ++i) {
    error += pow((double)y[i] - (double)expected[i], 2);
    norm += pow((double)expected[i], 2);
  }
  return sqrt(error / norm);
}

static mxfp4_checkpoint* opened(const char* path) {
  mxfp4_checkpoint* checkpoint = NULL;
  WORKS(mxfp4_checkpoint_open(path, &checkpoint));
  CHECK(checkpoint != NULL);
  return checkpoint;
}

/// A layer of a model against the tensors NAME + input and NAME + output of a file, packed and in place. The
/// checkpoint is closed before the layer is used.
static void expect_layer(const char* model, int64_t layer, const char* file, const char* name,
                         const char* input, const char* output, int64_t experts, const int32_t* ids,
                         size_t id_count) {
  char key[128];
  size_t bytes = 0, same = 0;
  snprintf(key, sizeof key, "%s%s", name, input);
  float* x = golden(file, key, &bytes);
  snprintf(key, sizeof key, "%s%s", name, output);
  float* expected = golden(file, key, &same);
  CHECK(bytes == same && bytes > 0);
  float* y = malloc(bytes + 1);
  size_t memory = 0;
  for (int in_place = 0; in_place < 2; ++in_place) {
    const mxfp4_linear_options options = {.size = sizeof options, .in_place = in_place};
    mxfp4_checkpoint* checkpoint = opened(model);
    mxfp4_mlp* mlp = NULL;
    WORKS(mxfp4_mlp_load(checkpoint, layer, &options, &mlp));
    mxfp4_checkpoint_close(checkpoint);
    CHECK(mxfp4_mlp_experts(mlp) == experts && mxfp4_mlp_hidden(mlp) == kH);
    CHECK(in_place ? mxfp4_mlp_memory(mlp) < memory : mxfp4_mlp_memory(mlp) > 0);
    memory = mxfp4_mlp_memory(mlp);
    WORKS(mxfp4_mlp_forward(mlp, (int64_t)(bytes / sizeof(float) / kH), ids, id_count, x, bytes, MXFP4_F32, y,
                            bytes, MXFP4_F32, NULL));
    CHECK(distance(y, expected, bytes) <= 2e-6);
    mxfp4_mlp_destroy(mlp);
  }
  free(x);
  free(y);
  free(expected);
}

static void layers_compute_what_transformers_computes(void) {
  for (int layer = 0; layer < 3; ++layer) {
    char name[64];
    snprintf(name, sizeof name, "f32.padded.layers.%d.", layer);
    expect_layer(GPT_OSS, layer, MODELS "tiny-gpt-oss/experts.safetensors", name, "mlp_input", "mlp_output",
                 6, NULL, 0);
  }
}

/// With shared experts; the first layer finds its experts by token id.
static void layers_of_deepseek_do_as_well(void) {
  const char* file = MODELS "tiny-deepseek-v4/mlps.safetensors";
  size_t bytes = 0;
  int32_t* ids = golden(file, "token_ids", &bytes);
  const size_t count = bytes / sizeof *ids;
  expect_layer(DEEPSEEK, 0, file, "layers.0.", "x", "output", 5, ids, count);
  expect_layer(DEEPSEEK, 1, file, "layers.1.", "x", "output", 5, NULL, 0);

  mxfp4_checkpoint* checkpoint = opened(DEEPSEEK);
  mxfp4_mlp *first = NULL, *second = NULL;
  WORKS(mxfp4_mlp_load(checkpoint, 0, NULL, &first));
  WORKS(mxfp4_mlp_load(checkpoint, 1, NULL, &second));
  CHECK(mxfp4_mlp_needs_token_ids(first) == 1 && mxfp4_mlp_needs_token_ids(second) == 0);
  float x[2 * kH] = {0}, y[2 * kH];
#define FORWARD(ids, count) \
  mxfp4_mlp_forward(first, 2, ids, count, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL)
  REFUSES("mlp: 0 token ids for 2 tokens, whose experts a table tells", FORWARD(NULL, 0));
  REFUSES("mxfp4_mlp_forward: token_ids is null", FORWARD(NULL, 2));
#undef FORWARD
  mxfp4_mlp_destroy(first);
  mxfp4_mlp_destroy(second);
  mxfp4_checkpoint_close(checkpoint);
  free(ids);
}

static void a_linear_layer_is_found_by_its_name(void) {
  const char* name = "model.layers.0.self_attn.q_proj";
  float y[2][kH * 4];
  int64_t rows = 0;
  for (int in_place = 0; in_place < 2; ++in_place) {
    const mxfp4_linear_options options = {.size = sizeof options, .in_place = in_place};
    mxfp4_checkpoint* checkpoint = opened(LLAMA);
    mxfp4_linear* layer = NULL;
    WORKS(mxfp4_linear_load(checkpoint, name, &options, &layer));
    mxfp4_checkpoint_close(checkpoint);
    rows = mxfp4_linear_rows(layer);
    const int64_t columns = mxfp4_linear_columns(layer);
    CHECK(rows > 0 && rows <= kH * 4 && columns > 0 && columns <= kH * 4);
    float x[kH * 4];
    for (int i = 0; i < kH * 4; ++i) x[i] = number(i);
    WORKS(mxfp4_linear_forward(layer, 1, x, sizeof x, MXFP4_F32, y[in_place], (size_t)rows * sizeof(float),
                               MXFP4_F32, NULL));
    mxfp4_linear_destroy(layer);
  }
  CHECK(distance(y[0], y[1], (size_t)rows * sizeof(float)) <= 1e-5);

  mxfp4_checkpoint* checkpoint = opened(LLAMA);
  mxfp4_linear* layer = NULL;
  REFUSES("mxfp4_linear_load: layer is null", mxfp4_linear_load(checkpoint, name, NULL, NULL));
  REFUSES("mxfp4_linear_load: checkpoint is null", mxfp4_linear_load(NULL, name, NULL, &layer));
  REFUSES("mxfp4_linear_load: name is null", mxfp4_linear_load(checkpoint, NULL, NULL, &layer));
  REFUSES("'model.layers.9'", mxfp4_linear_load(checkpoint, "model.layers.9", NULL, &layer));
  FAILS(MXFP4_UNSUPPORTED, "lm_head", mxfp4_linear_load(checkpoint, "lm_head", NULL, &layer));
  mxfp4_checkpoint_close(checkpoint);
}

static void wrong_calls_are_refused(void) {
  mxfp4_checkpoint* checkpoint = (mxfp4_checkpoint*)&failures;
  REFUSES("mxfp4_checkpoint_open: checkpoint is null", mxfp4_checkpoint_open(GPT_OSS, NULL));
  REFUSES("mxfp4_checkpoint_open: path is null", mxfp4_checkpoint_open(NULL, &checkpoint));
  CHECK(checkpoint == NULL);
  FAILS(MXFP4_IO, MODELS "none: cannot open: No such file or directory",
        mxfp4_checkpoint_open(MODELS "none", &checkpoint));
  mxfp4_checkpoint_close(NULL);

  checkpoint = opened(GPT_OSS);
  mxfp4_mlp* mlp = (mxfp4_mlp*)&failures;
  REFUSES("mxfp4_mlp_load: mlp is null", mxfp4_mlp_load(checkpoint, 0, NULL, NULL));
  REFUSES("mxfp4_mlp_load: checkpoint is null", mxfp4_mlp_load(NULL, 0, NULL, &mlp));
  CHECK(mlp == NULL);
  REFUSES("layer 3", mxfp4_mlp_load(checkpoint, 3, NULL, &mlp));
  REFUSES("layer -1", mxfp4_mlp_load(checkpoint, -1, NULL, &mlp));
  WORKS(mxfp4_mlp_load(checkpoint, 0, NULL, &mlp));
  float x[kH] = {0}, y[kH];
#define FORWARD(mlp, x_bytes, y_bytes) \
  mxfp4_mlp_forward(mlp, 1, NULL, 0, x, x_bytes, MXFP4_F32, y, y_bytes, MXFP4_F32, NULL)
  REFUSES("mxfp4_mlp_forward: mlp is null", FORWARD(NULL, sizeof x, sizeof y));
  REFUSES("mxfp4_mlp_forward: x has 252 bytes, but must have at least 256", FORWARD(mlp, 252, sizeof y));
  REFUSES("mxfp4_mlp_forward: y has 128 bytes, but must have 256", FORWARD(mlp, sizeof x, 128));
#undef FORWARD
  mxfp4_mlp_destroy(mlp);
  mxfp4_checkpoint_close(checkpoint);
  mxfp4_mlp_destroy(NULL);
  CHECK(mxfp4_mlp_experts(NULL) == 0 && mxfp4_mlp_hidden(NULL) == 0 && mxfp4_mlp_memory(NULL) == 0 &&
        mxfp4_mlp_needs_token_ids(NULL) == 0);
}

int main(void) {
  layers_compute_what_transformers_computes();
  layers_of_deepseek_do_as_well();
  a_linear_layer_is_found_by_its_name();
  wrong_calls_are_refused();
  return failures != 0;
}
