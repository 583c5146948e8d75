// Pieces of a model put together into the tensors of another convention.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/pieces.h"
#include "mxfp4/job/part.h"

namespace mxfp4::job {

/// A tensor that is one piece, or [E, N, K], [N, K], [E, N] or [N] of several. Its rows are those of N, one
/// expert behind the other; a bias has rows of one element.
struct Assembled {
  std::string name;  ///< Place::name
  Shape shape;       ///< elements
  bool stacked = false;
  std::int64_t experts = 1;
  bool alternates = false;           ///< the pieces of an expert lie in turns, row by row
  std::vector<const Piece*> pieces;  ///< those of the first expert first, by turn; equally many of each

  bool is_quantized() const noexcept { return pieces[0]->is_quantized(); }
  /// Elements of a row.
  std::int64_t columns() const noexcept { return pieces[0]->shape.size() < 2 ? 1 : shape.back(); }
  std::int64_t rows() const noexcept { return columns() == 0 ? 0 : element_count(shape) / columns(); }

  /// Where a row comes from.
  struct Row {
    const Piece* piece = nullptr;
    std::int64_t row = 0;  ///< of the piece
    /// The row among those of the piece's weight, if that is quantised.
    std::int64_t stored() const noexcept { return piece->first_row + row * piece->row_step; }
  };
  Row at(std::int64_t row) const noexcept;
};

/// Puts pieces where `place` says, in the order in which names come first. Throws Error unsupported where
/// they do not make whole tensors: experts or projections that are missing, of different shapes, or of which
/// some are quantised and others are not.
std::vector<Assembled> assemble(const std::vector<Piece>& pieces,
                                const std::function<Place(const Piece&)>& place);

/// Rows [begin, end) of a quantised one in interleaved order: in place where they lie so, or else in scratch,
/// StoredBlocks::scratch_bytes of their elements.
Mxfp4View rows_of(const Assembled& tensor, std::int64_t begin, std::int64_t end, std::byte* scratch);

/// The rows of a tensor, cut into units of about a million elements: a multiple of `step` rows, but at the
/// end.
struct RowUnits {
  explicit RowUnits(const Assembled& tensor, std::int64_t step = 1);
  std::size_t count() const noexcept;
  std::int64_t begin(std::size_t unit) const noexcept;
  std::int64_t most() const noexcept;

  std::int64_t rows, per_unit;
};

/// A quantised one, unit by unit. The files outlive it.
class BlockRows {
 public:
  explicit BlockRows(Assembled tensor, const ModelFiles& files, std::int64_t step = 1);

  const Assembled& tensor() const noexcept { return tensor_; }
  const RowUnits& units() const noexcept { return units_; }
  std::int64_t blocks_per_row() const noexcept { return tensor_.columns() / kBlockSize; }
  std::size_t scratch_bytes() const noexcept;  ///< that read() needs
  std::uint64_t bytes() const noexcept;        ///< of all rows

  /// The rows of a unit, as rows_of() gives them; the system is asked to read ahead.
  Mxfp4View read(std::size_t unit, std::byte* scratch) const;
  /// Its pages may go.
  void release(std::size_t unit) const;

 private:
  Assembled tensor_;
  const ModelFiles* files_;
  RowUnits units_;
};

/// Codes and scales of a quantised one, moved and nothing else.
Part move_part(const Assembled& tensor, safetensors::TensorSpec codes, safetensors::TensorSpec scales,
               const ModelFiles& files);

/// A quantised one as ggml has it: to every block a scale byte and 16 bytes of codes, byte j with the
/// elements j and j + 16; U8 [..., 17 * blocks]. Its units throw Error unsupported at a scale of 255, which
/// ggml refuses.
Part ggml_part(std::string name, const Assembled& tensor, const ModelFiles& files);

/// The elements of a dense one in `dtype`: their own, or another float that holds each of them exactly. Its
/// units throw Error unsupported at an element that it does not hold. Of one in another quantisation: what
/// BF16 makes of them.
Part join_part(std::string name, const Assembled& tensor, Dtype dtype, const ModelFiles& files);

}  // namespace mxfp4::job
