#include "mxfp4/checkpoint/pieces.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "mxfp4/checkpoint/experts.h"
#include "mxfp4/checkpoint/experts_internal.h"
#include "mxfp4/checkpoint/openai_internal.h"

namespace mxfp4 {
namespace {

constexpr std::string_view kWeight = ".weight", kBias = ".bias", kExperts = ".experts.", kQkv = ".qkv_proj.";
constexpr std::string_view kDeepseekExperts = ".ffn.experts.";
constexpr std::string_view kSwitch = ".switch_mlp.";  // what mlx-lm calls the experts of all but gpt-oss

// DeepSeek's names of an expert's matrices.
struct Projection {
  std::string_view name, deepseek;
};
constexpr Projection kProjections[] = {{"gate_proj", "w1"}, {"up_proj", "w3"}, {"down_proj", "w2"}};

bool is(const Convention* convention, std::string_view name) {
  return convention != nullptr && convention->name == name;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// "layers.0.ffn.experts.3.w1.weight" -> "...3.gate_proj.weight", or the reverse.
std::string with_projection(const std::string& name, std::string_view Projection::*from,
                            std::string_view Projection::*to) {
  if (name.find(kExperts) == std::string::npos) return name;
  for (const Projection& projection : kProjections) {
    const std::string old = fmt::format(".{}.", projection.*from);
    if (name.find(old) != std::string::npos) return replaced(name, old, fmt::format(".{}.", projection.*to));
  }
  return name;
}

// The name of a weight in transformers' terms; of stacked experts as parse_expert_name knows it.
std::string canonical_name(const Checkpoint& checkpoint, const Weight& weight) {
  const Convention* const convention = checkpoint.convention;
  if (is(convention, "openai")) {
    const std::string name = openai_to_transformers(weight.name);
    return name.empty() ? weight.name : name;
  }
  // In FP8 or dense, DeepSeek-V4 has the names of its release, too.
  if (is(convention, "deepseek-v4") ||
      (convention == nullptr && weight.name.find(kDeepseekExperts) != std::string::npos))
    return with_projection(weight.name, &Projection::deepseek, &Projection::name);
  if (is(convention, "mlx") && weight.name.find(kSwitch) != std::string::npos) {
    std::string name = replaced(weight.name, kSwitch, kExperts);
    if (name.ends_with(kWeight)) name.resize(name.size() - kWeight.size());
    if (name.ends_with(kBias)) name[name.size() - kBias.size()] = '_';
    return name;
  }
  return weight.name;
}

Piece whole(std::string name, const Weight& weight) {
  Piece piece{std::move(name), &weight, weight.shape(), weight.dense};
  if (weight.dense.data == nullptr && !weight.is_quantized() && weight.other == nullptr)
    piece.shape = weight.stored->shape;  // a sub-byte dtype
  return piece;
}

// Rows of a weight; the dimension of the rows is the first, or the second behind that of the experts.
Piece rows_of(std::string name, const Weight& weight, std::int64_t expert, std::int64_t begin,
              std::int64_t end, std::int64_t step) {
  Piece piece{std::move(name), &weight, weight.shape(), weight.dense};
  const std::int64_t count = (end - begin + step - 1) / step;
  const std::size_t dimension = expert < 0 ? 0 : 1;
  const std::int64_t all = piece.shape[dimension];
  piece.shape[dimension] = count;
  if (expert >= 0) piece.shape.erase(piece.shape.begin());
  if (weight.is_quantized()) {
    piece.first_row = std::max<std::int64_t>(expert, 0) * all + begin;
    piece.row_step = step;
  } else if (expert < 0) {
    piece.dense = weight.dense.slice(0, begin, end, step);
  } else {
    piece.dense = weight.dense[expert].slice(0, begin, end, step);
  }
  return piece;
}

// q, k and v, which gpt-oss's release joins: the output projection reads as many elements as q has rows, and
// k and v have half of the rest each.
bool split_qkv(const Checkpoint& checkpoint, const Weight& weight, const std::string& name,
               std::vector<Piece>& pieces) {
  const std::size_t at = name.find(kQkv);
  if (at == std::string::npos || !is(checkpoint.convention, "openai") || weight.shape().empty()) return false;
  const std::string own = weight.name.substr(0, weight.name.rfind(".qkv."));
  const Weight* const out = checkpoint.find(own + ".out.weight");
  const std::int64_t rows = weight.shape()[0];
  const std::int64_t q = out == nullptr || out->shape().size() != 2 ? -1 : out->shape()[1];
  if (q < 0 || q > rows || (rows - q) % 2 != 0) return false;
  const std::int64_t kv = (rows - q) / 2, ends[] = {q, q + kv, rows};
  std::int64_t begin = 0;
  for (int part = 0; part < 3; ++part) {
    constexpr std::string_view kNames[] = {".q_proj.", ".k_proj.", ".v_proj."};
    pieces.push_back(rows_of(replaced(name, kQkv, kNames[part]), weight, -1, begin, ends[part], 1));
    begin = ends[part];
  }
  return true;
}

bool split_experts(const Checkpoint& checkpoint, const Weight& weight, const std::string& name,
                   std::vector<Piece>& pieces) {
  const std::optional<ExpertName> stacked = parse_expert_name(name);
  if (!stacked || weight.orientation_unknown || weight.other != nullptr) return false;
  const Shape& shape = weight.shape();
  if (shape.size() != (stacked->bias ? 2 : 3)) return false;
  const bool joined = stacked->matrix == ExpertMatrix::gate_up;
  if (joined && (shape[1] % 2 != 0 || (!checkpoint.gpt_oss && checkpoint.files.config.empty()))) return false;
  const std::int64_t rows = shape[1];
  for (std::int64_t expert = 0; expert < shape[0]; ++expert) {
    const auto add = [&](std::string_view projection, std::int64_t begin, std::int64_t end,
                         std::int64_t step) {
      pieces.push_back(rows_of(
          fmt::format("{}.{}.{}{}", stacked->prefix, expert, projection, stacked->bias ? kBias : kWeight),
          weight, expert, begin, end, step));
    };
    switch (stacked->matrix) {
      case ExpertMatrix::gate_up:
        if (checkpoint.gpt_oss) {
          add("gate_proj", 0, rows, 2);
          add("up_proj", 1, rows, 2);
        } else {
          add("gate_proj", 0, rows / 2, 1);
          add("up_proj", rows / 2, rows, 1);
        }
        break;
      case ExpertMatrix::gate:
        add("gate_proj", 0, rows, 1);
        break;
      case ExpertMatrix::up:
        add("up_proj", 0, rows, 1);
        break;
      case ExpertMatrix::down:
        add("down_proj", 0, rows, 1);
        break;
    }
  }
  return true;
}

}  // namespace

std::vector<Piece> pieces_of(const Checkpoint& checkpoint) {
  std::vector<Piece> pieces;
  for (const Weight& weight : checkpoint.weights) {
    std::string name = canonical_name(checkpoint, weight);
    if (split_experts(checkpoint, weight, name, pieces) || split_qkv(checkpoint, weight, name, pieces)) {
      continue;
    }
    pieces.push_back(whole(std::move(name), weight));
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return natural_less(a.name, b.name); });
  return pieces;
}

std::optional<ExpertPiece> parse_expert_piece(std::string_view name) {
  const std::size_t at = name.rfind(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  ExpertPiece piece;
  piece.prefix = name.substr(0, at + kExperts.size() - 1);
  std::string_view rest = name.substr(at + kExperts.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), piece.expert);
  if (error != std::errc() || piece.expert < 0) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  piece.bias = rest.ends_with(kBias);
  if (!piece.bias && !rest.ends_with(kWeight)) return std::nullopt;
  rest.remove_suffix(piece.bias ? kBias.size() : kWeight.size());
  for (const Projection& projection : kProjections) {
    if (rest.size() != projection.name.size() + 1 || !rest.ends_with(projection.name)) continue;
    piece.projection = projection.name;
    return piece;
  }
  return std::nullopt;
}

Place place_of(const Convention& convention, bool gpt_oss, const Piece& piece) {
  Place place{piece.name};
  if (const std::optional<ExpertPiece> expert = parse_expert_piece(piece.name);
      expert && convention.experts != ExpertLayout::single) {
    const bool joined = convention.experts == ExpertLayout::joined ||
                        (convention.experts == ExpertLayout::as_model && gpt_oss);
    const bool up = expert->projection == "up_proj", down = expert->projection == "down_proj";
    const std::string_view tensor = joined && !down ? "gate_up_proj" : expert->projection;
    place = {fmt::format("{}.{}{}", expert->prefix, tensor, expert->bias ? "_bias" : ""), expert->expert,
             joined && up ? 1 : 0, joined && !down};
    if (is(&convention, "mlx") && !gpt_oss) place.name = replaced(place.name, kExperts, kSwitch);
  } else if (is(&convention, "openai")) {
    constexpr std::string_view kParts[] = {".q_proj.", ".k_proj.", ".v_proj."};
    for (int part = 0; part < 3; ++part) {
      if (piece.name.find(kParts[part]) == std::string::npos) continue;
      place.name = replaced(piece.name, kParts[part], kQkv);
      place.turn = part;
    }
  } else if (is(&convention, "deepseek-v4")) {
    place.name = with_projection(piece.name, &Projection::name, &Projection::deepseek);
  }
  if (is(&convention, "openai")) {
    if (std::string own = transformers_to_openai(place.name); !own.empty()) place.name = std::move(own);
  }
  return place;
}

StoredNames stored_names(const Convention& convention, const std::string& weight, bool stacked) {
  std::string module = weight;
  if (module.ends_with(kWeight)) module.resize(module.size() - kWeight.size());
  std::string dense = weight;
  // Biases of stacked experts are those of modules there.
  constexpr std::string_view kStackedBias = "_bias";
  if (stacked && weight.ends_with(kStackedBias) && (is(&convention, "linear") || is(&convention, "mlx")))
    dense[dense.size() - kStackedBias.size()] = '.';
  return {module + convention.codes_suffix, module + convention.scales_suffix, std::move(dense)};
}

}  // namespace mxfp4
