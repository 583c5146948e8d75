#include <algorithm>
#include <cstring>
#include <tuple>
#include <unordered_map>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/assembly_internal.h"

namespace mxfp4::job {
namespace {

struct PlacedPiece {
  const Piece* piece;
  std::int64_t expert;
  int turn;
  bool alternates;
};

// A piece's shape without its rows: what must be the same of all.
bool same_columns(const Piece& a, const Piece& b) {
  return a.shape.size() == b.shape.size() &&
         std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1) &&
         a.is_quantized() == b.is_quantized() &&
         (a.is_quantized() || a.weight->stored->dtype == b.weight->stored->dtype);
}

[[noreturn]] void refuse(const std::string& name, const Piece& a, const Piece& b) {
  const auto told = [](const Piece& piece) {
    return fmt::format("'{}' is {} {}", piece.name,
                       piece.is_quantized() ? "MXFP4" : to_string(piece.weight->stored->dtype),
                       to_string(piece.shape));
  };
  fail(ErrorCode::unsupported, "'{}' cannot be made of them: {}, but {}", name, told(a), told(b));
}

// Pieces that share a tensor.
Assembled joined(const std::string& name, std::vector<PlacedPiece> placed) {
  std::sort(placed.begin(), placed.end(), [](const PlacedPiece& a, const PlacedPiece& b) {
    return std::tie(a.expert, a.turn) < std::tie(b.expert, b.turn);
  });
  Assembled tensor{name, placed[0].piece->shape, placed[0].expert >= 0, 1, placed[0].alternates, {}};
  std::size_t turns = 0;
  while (turns < placed.size() && placed[turns].expert == placed[0].expert) ++turns;
  const int expected = tensor.alternates ? 2 : static_cast<int>(turns);
  for (std::size_t i = 0; i < placed.size(); ++i) {
    const PlacedPiece& at = placed[i];
    const std::int64_t expert = tensor.stacked ? static_cast<std::int64_t>(i / turns) : -1;
    if (at.expert != expert || at.turn != static_cast<int>(i % turns) ||
        turns != static_cast<std::size_t>(expected)) {
      fail(ErrorCode::unsupported, "'{}' cannot be made: what would stand beside '{}' is missing", name,
           at.piece->name);
    }
    const Piece& like = *placed[tensor.alternates ? 0 : i % turns].piece;
    if (!same_columns(*placed[0].piece, *at.piece) || like.shape != at.piece->shape)
      refuse(name, like, *at.piece);
    tensor.pieces.push_back(at.piece);
  }
  if (placed.size() % turns != 0) {
    fail(ErrorCode::unsupported, "'{}' cannot be made: what would stand beside '{}' is missing", name,
         placed.back().piece->name);
  }
  tensor.shape[0] = 0;
  for (std::size_t turn = 0; turn < turns; ++turn) tensor.shape[0] += placed[turn].piece->shape[0];
  if (tensor.stacked) {
    tensor.experts = static_cast<std::int64_t>(placed.size() / turns);
    tensor.shape.insert(tensor.shape.begin(), tensor.experts);
  }
  return tensor;
}

}  // namespace

Assembled::Row Assembled::at(std::int64_t row) const noexcept {
  if (pieces.size() == 1) return {pieces[0], row};
  const std::int64_t per_expert = rows() / experts;
  const std::int64_t turns = static_cast<std::int64_t>(pieces.size()) / experts;
  const auto piece = [&](std::int64_t turn) {
    return pieces[static_cast<std::size_t>(row / per_expert * turns + turn)];
  };
  std::int64_t in_expert = row % per_expert;
  if (alternates) return {piece(in_expert % turns), in_expert / turns};
  std::int64_t turn = 0;
  for (; in_expert >= piece(turn)->shape[0]; ++turn) in_expert -= piece(turn)->shape[0];
  return {piece(turn), in_expert};
}

std::vector<Assembled> assemble(const std::vector<Piece>& pieces,
                                const std::function<Place(const Piece&)>& place) {
  std::vector<std::pair<std::string, std::vector<PlacedPiece>>> groups;
  std::unordered_map<std::string, std::size_t> group_of;
  for (const Piece& piece : pieces) {
    const Place at = place(piece);
    const auto [found, is_new] = group_of.emplace(at.name, groups.size());
    if (is_new) groups.emplace_back(at.name, std::vector<PlacedPiece>());
    groups[found->second].second.push_back({&piece, at.expert, at.turn, at.alternates});
  }
  std::vector<Assembled> tensors;
  for (auto& [name, placed] : groups) {
    const bool alone = placed.size() == 1 && placed[0].expert < 0;
    if (alone) {
      tensors.push_back({name, placed[0].piece->shape, false, 1, false, {placed[0].piece}});
    } else {
      tensors.push_back(joined(name, std::move(placed)));
    }
  }
  return tensors;
}

}  // namespace mxfp4::job
