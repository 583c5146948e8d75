// What is quantised when nobody says otherwise.
#pragma once

#include <string>
#include <string_view>

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4 {

/// Why a weight of a model directory is left alone by default; empty if it is quantised: a matrix of a Linear
/// layer that is no embedding, norm, router or output head, or stacked experts, with K a multiple of 32. Of a
/// gpt-oss model only the experts are quantised.
std::string default_keep_reason(const Checkpoint& checkpoint, const Weight& weight);

/// Whether the weight is the matrix of a Linear layer, a router's and the output head's included: what a
/// convention has to list by module if it is left alone.
bool is_linear_weight(const Weight& weight);

/// The same by the name and rank of a weight that is to be written; `experts` if it is stacked experts or
/// their bias.
bool is_linear(std::string_view name, std::size_t rank, bool experts = false);

}  // namespace mxfp4
