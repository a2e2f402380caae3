// nlohmann-json's messages, fit for one line.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace cuqat::io {

/// The exception's text without its number, cut where it quotes a long token.
inline std::string json_problem(const nlohmann::json::exception& error) {
  constexpr std::size_t kMaxBytes = 200;
  std::string_view text = error.what();
  const std::size_t bracket = text.find("] ");
  if (bracket != std::string_view::npos) text.remove_prefix(bracket + 2);
  if (text.size() <= kMaxBytes) return std::string(text);
  return std::string(text.substr(0, kMaxBytes)) + "...";
}

}  // namespace cuqat::io
