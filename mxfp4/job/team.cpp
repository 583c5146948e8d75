#include "mxfp4/job/team.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::job {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

/// Between two rounds, for each rank: many ranks make many messages.
constexpr auto kPause = std::chrono::milliseconds(4);

}  // namespace

Team::Team(Communicator& ranks, std::function<void(const Error&)> lost)
    : ranks_(ranks),
      rank_(ranks.rank()),
      size_(ranks.size()),
      lost_(std::move(lost)),
      timeout_ms_(ranks.timeout.count()),
      peers_(static_cast<std::size_t>(size_)) {
  for (auto& texts : texts_) texts.resize(peers_.size());
}

Team::~Team() {
  if (!over_) fail(Error(ErrorCode::interrupted, "stopped"));
  if (thread_.joinable()) thread_.join();
}

void Team::start() {
  if (thread_.joinable()) return;
  last_round_ = Clock::now();
  for (Peer& peer : peers_) peer.changed = last_round_;
  thread_ = std::thread([this] { pulse(); });
}

void Team::advance(std::uint64_t bytes) noexcept {
  own_done_ += bytes;
  ++ticks_;
}

void Team::check() const {
  if (!failed_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  throw *failure_;
}

std::vector<std::string> Team::gather(std::string mine) {
  return meet(std::move(mine), false);
}

std::vector<std::string> Team::meet(std::string mine, bool leaving) {
  std::unique_lock lock(mutex_);
  start();
  text_ = std::move(mine);
  leaving_ = leaving;
  unsent_ = true;
  state_ = State::waiting;
  auto& texts = texts_[++gathers_ % 2];
  wake_.notify_one();
  const auto whole = [&] {
    return std::all_of(texts.begin(), texts.end(), [](const auto& text) { return text.has_value(); });
  };
  heard_.wait(lock, [&] { return whole() || failure_; });
  state_ = State::working;
  ++ticks_;
  if (!whole()) throw *failure_;
  std::vector<std::string> all;
  const bool first_leaves = texts[0]->leaving;
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank]->leaving == first_leaves) continue;
    mxfp4::fail(ErrorCode::invalid_argument,
                "rank {} was asked for something else than rank 0: {} has nothing more to do", rank,
                first_leaves ? "that one" : "it");
  }
  for (auto& text : texts) {
    all.push_back(std::move(text->text));
    text.reset();
  }
  return all;
}

void Team::send(std::string note) {
  const std::lock_guard lock(mutex_);
  start();
  notes_.push_back(std::move(note));
  wake_.notify_one();
}

void Team::listen(std::function<void(int, const std::string&)> listener) {
  const std::lock_guard lock(listener_mutex_);
  listener_ = std::move(listener);
}

bool Team::fail(const Error& error) {
  std::unique_lock lock(mutex_);
  start();
  // Who ends because of another's failure, perhaps with more to say about it, has none of its own.
  const bool told = failure_ && std::string_view(error.what()).starts_with(failure_->what());
  if (!own_error_ && !told) own_error_ = error;
  state_ = State::ended;
  wake_.notify_one();
  heard_.wait(lock, [&] { return over_; });
  return std::all_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
    return peer.error && own_error_ && peer.error->code() == own_error_->code();
  });
}

void Team::leave() {
  meet("", true);
  std::unique_lock lock(mutex_);
  state_ = State::ended;
  wake_.notify_one();
  heard_.wait(lock, [&] { return over_; });
}

void Team::pulse() {
  try {
    while (round()) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kPause * size_);
    }
  } catch (const Error& error) {
    lost_(error);
  } catch (const std::exception& error) {
    lost_(Error(ErrorCode::io, error.what()));
  }
  const std::lock_guard lock(mutex_);
  over_ = true;
  if (!failure_ && state_ != State::ended) failure_ = Error(ErrorCode::io, "a rank was lost");
  failed_ = failure_.has_value();
  heard_.notify_all();
}

bool Team::round() {
  ranks_.timeout = std::chrono::milliseconds(timeout_ms_);
  const std::string mine = words();
  const std::vector<std::string> all = ranks_.all_gather(std::as_bytes(std::span(mine)));
  for (int rank = 0; rank < size_; ++rank) hear(rank, all[static_cast<std::size_t>(rank)]);
  const std::lock_guard lock(mutex_);
  // All are there after so long a pause: they were suspended, and their time begins anew.
  const auto now = Clock::now();
  if (now - std::exchange(last_round_, now) > ranks_.timeout) {
    for (Peer& peer : peers_) peer.changed = now;
  }
  std::uint64_t done = 0;
  bool ended = true;
  for (int rank = 0; rank < size_; ++rank) {
    const Peer& peer = peers_[static_cast<std::size_t>(rank)];
    if (rank != rank_) done += peer.done;
    ended = ended && peer.state == State::ended;
    check_alive(rank);
  }
  others_done_ = done;
  heard_.notify_all();
  return !ended;
}

std::string Team::words() {
  const std::lock_guard lock(mutex_);
  Json words = {{"state", state_}, {"ticks", ticks_.load()}, {"done", own_done_.load()}};
  if (unsent_) words["text"] = {gathers_, std::exchange(text_, {}), leaving_};
  unsent_ = false;
  if (!notes_.empty()) words["notes"] = std::exchange(notes_, {});
  if (own_error_) words["error"] = {own_error_->code(), own_error_->what()};
  const std::vector<std::uint8_t> bytes =
      Json::to_cbor(words);  // in which text may be any bytes, as paths are
  return {bytes.begin(), bytes.end()};
}

void Team::hear(int rank, const std::string& words) {
  const Json json = Json::from_cbor(words);
  // Before anything that could be a reason to wait no longer.
  if (rank_ == 0 && json.contains("notes")) {
    for (const Json& note : json["notes"]) deliver(rank, note.get<std::string>());
  }
  const std::lock_guard lock(mutex_);
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  const auto state = json["state"].get<State>();
  const auto ticks = json["ticks"].get<std::uint64_t>();
  if (state != State::working || ticks != peer.ticks) peer.changed = Clock::now();
  peer.state = state;
  peer.ticks = ticks;
  peer.done = json["done"].get<std::uint64_t>();
  if (json.contains("text"))
    texts_[json["text"][0].get<std::uint64_t>() % 2][static_cast<std::size_t>(rank)] =
        Text{json["text"][1].get<std::string>(), json["text"][2].get<bool>()};
  if (!json.contains("error") || peer.error) return;
  const auto code = json["error"][0].get<ErrorCode>();
  const auto text = json["error"][1].get<std::string>();
  peer.error = Error(code, text);
  if (rank == rank_ || failure_) return;
  failure_ = Error(code, fmt::format("rank {}: {}", rank, text));
  failed_ = true;
}

void Team::deliver(int rank, const std::string& note) {
  try {
    const std::lock_guard lock(listener_mutex_);
    if (listener_) listener_(rank, note);
  } catch (const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!own_error_) own_error_ = error;
    if (!failure_) failure_ = error;  // as the thread that works must hear of it
    failed_ = true;
  }
}

void Team::check_alive(int rank) const {
  const Peer& peer = peers_[static_cast<std::size_t>(rank)];
  const auto silent = Clock::now() - peer.changed;
  if (peer.state != State::working || silent < std::chrono::milliseconds(timeout_ms_)) return;
  mxfp4::fail(ErrorCode::io, "rank {} has got no further for {} s", rank,
              std::chrono::duration_cast<std::chrono::seconds>(silent).count());
}

void check_same_job(Team& team, const std::vector<std::pair<std::string, std::string>>& asked) {
  using Asked = std::vector<std::pair<std::string, std::string>>;
  // As binary JSON, since paths may be any bytes.
  const std::vector<std::uint8_t> mine = Json::to_cbor(asked);
  const std::vector<std::string> all = team.gather({mine.begin(), mine.end()});
  const auto first = Json::from_cbor(all[0]).get<Asked>();
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    const auto other = Json::from_cbor(all[rank]).get<Asked>();
    const auto [a, b] = std::mismatch(first.begin(), first.end(), other.begin(), other.end());
    if (a == first.end() && b == other.end()) continue;
    const auto told = [](auto trait, auto end) {
      return trait == end ? "nothing more" : fmt::format("{}: {}", trait->first, trait->second);
    };
    mxfp4::fail(ErrorCode::invalid_argument, "rank {} was asked for something else than rank 0: {}, not {}",
                rank, told(b, other.end()), told(a, first.end()));
  }
}

}  // namespace mxfp4::job
