// The C interface, C99, for engines in C, C++, Rust, Go and whatever else calls C.
//
// - A function that can fail returns a status: MXFP4_OK, or what a caller can do about it. Then
//   mxfp4_last_error() says what, where and the values. Nothing is printed, thrown or aborted, and outputs
//   are unspecified after a failure.
// - An array is a pointer and its size, in bytes unless it is called a count. Sizes are checked before
//   anything is touched; where the size is 0 the pointer may be null.
// - A struct begins with its size, sizeof of it, and zero in every other field is the default:
//       mxfp4_quantize_options options = {.size = sizeof options, .preset = "ggml"};
//   Later versions add fields at the end. What was compiled against an older header goes on to work; a newer
//   struct works with an older library as long as the fields that it does not know are zero.
// - A null pointer to options means the defaults. Null pointers to anything else are refused, unless said.
// - Strings are UTF-8 and end with a zero byte.
// - Threads: every function may be called from any thread, several at once. 0 threads means all that this
//   process may use; more than those are never started. Results do not depend on it.
// - Matrices are [rows, columns], rows one after the other; a quantised row is cut into blocks, each of 32
//   elements with one scale byte, the last one completed with zeros.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What came of a call. Callers must expect values that later versions add.
typedef int32_t mxfp4_status;
enum {
  MXFP4_OK = 0,
  MXFP4_INVALID_ARGUMENT = 1,  ///< the caller's own values: a null pointer, a size, an option
  MXFP4_CORRUPT_FILE = 2,      ///< the file breaks its format's rules, or its parts contradict each other
  MXFP4_UNSUPPORTED = 3,       ///< understood, but this library or this machine does not do it
  MXFP4_IO = 4,                ///< the system refused: not found, no permission, disk full
  MXFP4_DEVICE = 5,            ///< an accelerator failed
  MXFP4_OUT_OF_MEMORY = 6,     ///< an allocation, or a bound given by the caller, does not suffice
  MXFP4_INTERRUPTED = 7        ///< the caller asked to stop
};

/// "ok", "invalid_argument", ...; "unknown" for every other number. Never null.
const char* mxfp4_status_name(mxfp4_status status);

/// The message of the last call on this thread that failed, "" before the first. Valid until the next one
/// that fails. Never null. Go moves goroutines between threads: runtime.LockOSThread() keeps both calls on
/// one of them.
const char* mxfp4_last_error(void);

/// "0.1.0", of the library that is linked.
const char* mxfp4_version(void);

/// Points *text at what computes here: "AMD EPYC 7763 64-Core Processor, 8 threads, avx2". Valid until this
/// thread's next call. Fails where the environment variable MXFP4_ISA asks for what there is not.
mxfp4_status mxfp4_machine(const char** text);

/// Elements of dense arrays, which need not be aligned.
typedef int32_t mxfp4_dtype;
enum { MXFP4_F32 = 0, MXFP4_BF16 = 1, MXFP4_F16 = 2 };

/// Which elements of a block share a byte, the first in its low nibble. mxfp4_quantize() writes interleaved.
enum {
  MXFP4_INTERLEAVED = 0,  ///< byte i holds element 2i and 2i + 1
  MXFP4_SPLIT16 = 1       ///< byte j of a block of 32 holds element j and j + 16; ggml
};

/// A quantised matrix that the caller owns.
typedef struct mxfp4_matrix {
  size_t size;
  const uint8_t* codes;
  size_t code_bytes;  ///< as mxfp4_sizes() says
  const uint8_t* scales;
  size_t scale_bytes;
  int64_t rows;
  int64_t columns;       ///< elements of a row, without what completes its last block
  int32_t block_size;    ///< 32, or 16; 0: 32
  int32_t nibble_order;  ///< MXFP4_INTERLEAVED or MXFP4_SPLIT16
} mxfp4_matrix;

/// The sizes that codes and scales of a matrix have. A block_size of 0 means 32.
mxfp4_status mxfp4_sizes(int64_t rows, int64_t columns, int32_t block_size, size_t* code_bytes,
                         size_t* scale_bytes);

typedef struct mxfp4_quantize_options {
  size_t size;
  const char* preset;       ///< a recipe that `mxfp4 info` lists; null: "mxfp4", the least error
  const char* scale_rule;   ///< in place of a preset: "optimal", "even", "rceil", ...
  const char* nonfinite;    ///< NaN and infinity: null or "error": refused, with the indices of the first;
                            ///< "nan_block", "saturate", or "preset": as the preset's origin does it
  const float* importance;  ///< how much each column matters, under the rule optimal, which then minimises
                            ///< the sum of importance * error^2; finite, not negative; null: all alike
  size_t importance_count;  ///< columns, or 0
  int32_t block_size;       ///< 32, or 16; 0: 32
  int32_t threads;
} mxfp4_quantize_options;

/// How far the result is from the original. Elements that are not finite are left out of signal and noise.
typedef struct mxfp4_error_stats {
  size_t size;
  double signal;   ///< sum of x^2
  double noise;    ///< sum of (x - dequantised)^2
  double sqnr_db;  ///< 10 log10(signal / noise); infinite where nothing was lost
  uint64_t elements;
  uint64_t blocks;
  uint64_t lossless_blocks;
  uint64_t saturated;  ///< elements with |x| > 6 * scale
} mxfp4_error_stats;

/// Quantises x. The sizes of codes and scales are those that mxfp4_sizes() says. Only with `stats`, whose
/// size is set, is the error measured.
mxfp4_status mxfp4_quantize(const void* x, size_t x_bytes, mxfp4_dtype dtype, int64_t rows, int64_t columns,
                            const mxfp4_quantize_options* options, uint8_t* codes, size_t code_bytes,
                            uint8_t* scales, size_t scale_bytes, mxfp4_error_stats* stats);

/// Expands to rows * columns elements of `dtype`: the exact products, rounded once. Scale byte 255 gives NaN;
/// what exceeds the dtype gives infinity.
mxfp4_status mxfp4_dequantize(const mxfp4_matrix* matrix, void* out, size_t out_bytes, mxfp4_dtype dtype,
                              int32_t threads);

/// A Linear layer whose weight stays MXFP4: y = x W^T + bias.
typedef struct mxfp4_linear mxfp4_linear;

/// Of every kind of layer.
typedef struct mxfp4_linear_options {
  size_t size;
  int32_t threads;   ///< to make the layer with
  int32_t in_place;  ///< 1: codes and scales are used where they lie, in a mapped file for example, instead
                     ///< of packed copies: made for few tokens, and they must outlive the layer
} mxfp4_linear_options;

/// How activations enter the product.
enum {
  MXFP4_EXACT = 0,  ///< as given: against sum |w * x| the error is at most 2^-18 (rms over a token's outputs)
                    ///< and 2^-13 (each)
  MXFP4_INT8 = 1,   ///< symmetric 8-bit integers with one scale per block of 32
  MXFP4_MXFP8 = 2   ///< E4M3 with one E8M0 scale per block of 32
};

typedef struct mxfp4_forward_options {
  size_t size;
  int64_t x_stride;    ///< elements from one row of x to the next; 0: no gaps
  int32_t activation;  ///< MXFP4_EXACT, MXFP4_INT8 or MXFP4_MXFP8
  int32_t threads;
} mxfp4_forward_options;

/// Makes a layer of a weight [N, K] in blocks of 32, and a bias of N values or none (null and 0). Both are
/// copied, the weight into the layout of the kernels, and not needed any more, unless options->in_place is 1.
/// *layer is null after a failure; otherwise it is the caller's, until mxfp4_linear_destroy().
mxfp4_status mxfp4_linear_create(const mxfp4_matrix* weight, const float* bias, size_t bias_count,
                                 const mxfp4_linear_options* options, mxfp4_linear** layer);

/// Null is fine. No call of the layer may be under way.
void mxfp4_linear_destroy(mxfp4_linear* layer);

int64_t mxfp4_linear_rows(const mxfp4_linear* layer);     ///< N, the outputs; 0 for null
int64_t mxfp4_linear_columns(const mxfp4_linear* layer);  ///< K, the inputs; 0 for null
size_t mxfp4_linear_memory(const mxfp4_linear* layer);    ///< bytes that it owns; 0 for null

/// y[tokens, N] = x[tokens, K] W^T + bias. y has no gaps and must not overlap x; x_bytes may be more than is
/// read. A token's results do not depend on the tokens beside it; NaN and infinity stay in their token.
mxfp4_status mxfp4_linear_forward(const mxfp4_linear* layer, int64_t tokens, const void* x, size_t x_bytes,
                                  mxfp4_dtype x_dtype, void* y, size_t y_bytes, mxfp4_dtype y_dtype,
                                  const mxfp4_forward_options* options);

/// A Linear layer of each of E experts, for callers that put an expert together themselves.
typedef struct mxfp4_expert_linear mxfp4_expert_linear;

/// As mxfp4_linear_create(). The matrices of the experts, [N, K] each, stand one below the other in `weight`,
/// [E * N, K]; biases are [E, N], or none (null and 0).
mxfp4_status mxfp4_expert_linear_create(const mxfp4_matrix* weight, int64_t experts, const float* bias,
                                        size_t bias_count, const mxfp4_linear_options* options,
                                        mxfp4_expert_linear** layer);

/// Null is fine. No call of the layer may be under way.
void mxfp4_expert_linear_destroy(mxfp4_expert_linear* layer);

int64_t mxfp4_expert_linear_count(const mxfp4_expert_linear* layer);    ///< E; 0 for null
int64_t mxfp4_expert_linear_rows(const mxfp4_expert_linear* layer);     ///< N, the outputs; 0 for null
int64_t mxfp4_expert_linear_columns(const mxfp4_expert_linear* layer);  ///< K, the inputs; 0 for null
size_t mxfp4_expert_linear_memory(const mxfp4_expert_linear* layer);    ///< bytes that it owns; 0 for null

/// y[t, s] = W[ids[t, s]] x + bias[ids[t, s]]; ids are [tokens, top_k], y is [tokens, top_k, N]. x has a row
/// for each token (x_rows is tokens), or for each id (x_rows is tokens * top_k). An id of -1 gives zeros;
/// another one that is not below E is refused. Otherwise as mxfp4_linear_forward().
mxfp4_status mxfp4_expert_linear_gather(const mxfp4_expert_linear* layer, int64_t tokens, int32_t top_k,
                                        const int32_t* ids, size_t id_count, int64_t x_rows, const void* x,
                                        size_t x_bytes, mxfp4_dtype x_dtype, void* y, size_t y_bytes,
                                        mxfp4_dtype y_dtype, const mxfp4_forward_options* options);

/// The experts of a mixture, whose weights stay MXFP4:
///
///   gate = min(gate, limit), up = min(max(up, -limit), limit)
///   y[t] = sum over the chosen s of weight[s] * (down(gate * sigmoid(alpha * gate) * (up + beta)) + bias)
typedef struct mxfp4_experts mxfp4_experts;

/// What E experts are made of. The matrices of a projection are one, in which those of the experts, [N, K]
/// each, stand one below the other. Biases are [E, N], or none (null and 0).
typedef struct mxfp4_expert_weights {
  size_t size;
  int64_t experts;              ///< E
  const mxfp4_matrix* gate_up;  ///< [E * 2 I, H], rows alternately of gate and of up (gpt-oss); or null, and
  const mxfp4_matrix* gate;     ///< [E * I, H] both apart
  const mxfp4_matrix* up;       ///< [E * I, H]
  const mxfp4_matrix* down;     ///< [E * H, I]
  const float* gate_up_bias;
  size_t gate_up_bias_count;
  const float* gate_bias;
  size_t gate_bias_count;
  const float* up_bias;
  size_t up_bias_count;
  const float* down_bias;
  size_t down_bias_count;
  float
      alpha;  ///< 0: 1. All three 0: gate * sigmoid(gate) * up, as Mixtral, Qwen3-MoE and DeepSeek-V3 have it
  float beta;   ///< gpt-oss: alpha 1.702, beta 1, limit 7
  float limit;  ///< 0: none
} mxfp4_expert_weights;

/// Which experts a batch goes to, [tokens, top_k].
typedef struct mxfp4_expert_choice {
  size_t size;
  const int32_t* ids;  ///< -1: nobody, which adds nothing
  size_t id_count;     ///< tokens * top_k
  const float* weights;
  size_t weight_count;  ///< tokens * top_k
  int32_t top_k;
  int32_t weights_on_input;  ///< 1: they multiply what goes into the experts, not what comes out of them
} mxfp4_expert_choice;

/// As mxfp4_linear_create().
mxfp4_status mxfp4_experts_create(const mxfp4_expert_weights* weights, const mxfp4_linear_options* options,
                                  mxfp4_experts** experts);

/// Null is fine. No call of the experts may be under way.
void mxfp4_experts_destroy(mxfp4_experts* experts);

int64_t mxfp4_experts_count(const mxfp4_experts* experts);         ///< E; 0 for null
int64_t mxfp4_experts_hidden(const mxfp4_experts* experts);        ///< H, of x and y; 0 for null
int64_t mxfp4_experts_intermediate(const mxfp4_experts* experts);  ///< I; 0 for null
size_t mxfp4_experts_memory(const mxfp4_experts* experts);         ///< bytes that they own; 0 for null

/// x and y are [tokens, H], as of mxfp4_linear_forward(). An id that is neither -1 nor below E is refused.
mxfp4_status mxfp4_experts_forward(const mxfp4_experts* experts, const mxfp4_expert_choice* choice,
                                   int64_t tokens, const void* x, size_t x_bytes, mxfp4_dtype x_dtype,
                                   void* y, size_t y_bytes, mxfp4_dtype y_dtype,
                                   const mxfp4_forward_options* options);

/// The expert that every token goes through, beside those that are chosen (DeepSeek, Qwen2-MoE).
typedef struct mxfp4_shared_expert mxfp4_shared_expert;

/// As mxfp4_experts_create(), of one expert whose gate and up are apart. With `share`, [H], or none (null and
/// 0), what it gives is multiplied by the sigmoid of share * x.
mxfp4_status mxfp4_shared_expert_create(const mxfp4_expert_weights* weights, const float* share,
                                        size_t share_count, const mxfp4_linear_options* options,
                                        mxfp4_shared_expert** expert);

/// Null is fine. No call of the expert may be under way.
void mxfp4_shared_expert_destroy(mxfp4_shared_expert* expert);

int64_t mxfp4_shared_expert_hidden(const mxfp4_shared_expert* expert);        ///< H; 0 for null
int64_t mxfp4_shared_expert_intermediate(const mxfp4_shared_expert* expert);  ///< I; 0 for null
size_t mxfp4_shared_expert_memory(const mxfp4_shared_expert* expert);  ///< bytes that it owns; 0 for null

/// Adds to y, which is F32 and may be what mxfp4_experts_forward() has written, what becomes of x.
mxfp4_status mxfp4_shared_expert_add(const mxfp4_shared_expert* expert, int64_t tokens, const void* x,
                                     size_t x_bytes, mxfp4_dtype x_dtype, float* y, size_t y_bytes,
                                     const mxfp4_forward_options* options);

/// What logits are turned into before experts are chosen.
enum {
  MXFP4_SOFTMAX = 0,       ///< gpt-oss, Mixtral, Qwen3-MoE
  MXFP4_SIGMOID = 1,       ///< DeepSeek-V3
  MXFP4_SQRT_SOFTPLUS = 2  ///< DeepSeek-V4: sqrt(ln(1 + e^x))
};

/// All zero: softmax over those chosen, as gpt-oss and Mixtral have it.
typedef struct mxfp4_route_options {
  size_t size;
  const float* correction;  ///< added to the scores for the choice alone, [experts]; null: nothing
  size_t correction_count;
  int32_t score;           ///< MXFP4_SOFTMAX, MXFP4_SIGMOID or MXFP4_SQRT_SOFTPLUS
  int32_t no_renormalize;  ///< 1: weights are scores, which are not divided by the sum of those chosen
  float factor;            ///< of the weights; 0: 1
  int32_t groups;          ///< of experts, at least two in each; 0: 1
  int32_t top_groups;      ///< groups that experts are chosen from, by the sum of their two best; 0: all
  int32_t chosen;          ///< 1: ids are read, by a table of token ids for example, and only weighed
} mxfp4_route_options;

/// From logits [tokens, experts] to the ids and the weights of the top_k largest scores, in descending order,
/// ties to the lower id; both are [tokens, top_k]. A NaN counts as larger than every number and makes the
/// weights of its token NaN.
mxfp4_status mxfp4_route(const void* logits, size_t logit_bytes, mxfp4_dtype dtype, int64_t tokens,
                         int64_t experts, int32_t top_k, const mxfp4_route_options* options, int32_t* ids,
                         size_t id_count, float* weights, size_t weight_count);

/// An opened model: a directory, or a single file (.safetensors, .gguf, .uqff), in any layout that
/// `mxfp4 inspect` reads. Only headers have been read; weights are read when a layer is made of them.
typedef struct mxfp4_checkpoint mxfp4_checkpoint;

/// *checkpoint is null after a failure; otherwise it is the caller's, until mxfp4_checkpoint_close().
mxfp4_status mxfp4_checkpoint_open(const char* path, mxfp4_checkpoint** checkpoint);

/// Null is fine. Layers that use its weights in place keep the files open as long as they need them.
void mxfp4_checkpoint_close(mxfp4_checkpoint* checkpoint);

/// The Linear layer of that name, "model.layers.0.self_attn.q_proj", with its bias if there is one; as
/// mxfp4_linear_create(). Of a model in MXFP4 not every layer is: others are MXFP4_UNSUPPORTED.
mxfp4_status mxfp4_linear_load(const mxfp4_checkpoint* checkpoint, const char* name,
                               const mxfp4_linear_options* options, mxfp4_linear** layer);

/// A whole mixture-of-experts layer: router, experts, and what the model has besides, such as shared experts.
typedef struct mxfp4_mlp mxfp4_mlp;

/// That of a decoder layer, from 0 on; as mxfp4_linear_create(). A layer without experts, as the first ones
/// of DeepSeek-V3, is MXFP4_INVALID_ARGUMENT.
mxfp4_status mxfp4_mlp_load(const mxfp4_checkpoint* checkpoint, int64_t layer,
                            const mxfp4_linear_options* options, mxfp4_mlp** mlp);

/// Null is fine. No call of the layer may be under way.
void mxfp4_mlp_destroy(mxfp4_mlp* mlp);

int64_t mxfp4_mlp_experts(const mxfp4_mlp* mlp);          ///< those that are chosen from; 0 for null
int64_t mxfp4_mlp_hidden(const mxfp4_mlp* mlp);           ///< H, of x and y; 0 for null
size_t mxfp4_mlp_memory(const mxfp4_mlp* mlp);            ///< bytes that it owns; 0 for null
int32_t mxfp4_mlp_needs_token_ids(const mxfp4_mlp* mlp);  ///< 1: experts are found by token id; else 0

/// x and y are [tokens, H], as of mxfp4_linear_forward(). token_ids has the id of every token in the
/// vocabulary where they are needed, as in the first layers of DeepSeek-V4; otherwise it may be null and 0.
mxfp4_status mxfp4_mlp_forward(const mxfp4_mlp* mlp, int64_t tokens, const int32_t* token_ids,
                               size_t token_id_count, const void* x, size_t x_bytes, mxfp4_dtype x_dtype,
                               void* y, size_t y_bytes, mxfp4_dtype y_dtype,
                               const mxfp4_forward_options* options);

#ifdef __cplusplus
}  // extern "C"
#endif
