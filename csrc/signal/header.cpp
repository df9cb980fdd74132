#include "header.h"

namespace clear_signal {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Takes what `test` holds for from the start of the text.
template <class Test> std::string_view take(std::string_view &text, const Test &test) {
  size_t size = 0;
  while (size < text.size() && test(text[size])) ++size;
  const std::string_view taken = text.substr(0, size);
  text.remove_prefix(size);
  return taken;
}

bool take_one(std::string_view &text, char c) {
  const bool there = !text.empty() && text[0] == c;
  if (there) text.remove_prefix(1);
  return there;
}

std::string_view strip(std::string_view text) {
  take(text, is_blank);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The next word of a line; empty at its end.
std::string_view take_word(std::string_view &line) {
  take(line, is_blank);
  return take(line, [](char c) { return !is_blank(c); });
}

// Up to 18 digits.
bool take_count(std::string_view &text, int64_t &value) {
  const std::string_view digits = take(text, is_digit);
  value = 0;
  if (digits.empty() || digits.size() > 18) return false;
  for (const char digit : digits) value = 10 * value + (digit - '0');
  return true;
}

// The same with a sign.
bool take_integer(std::string_view &text, int64_t &value) {
  const bool negative = take_one(text, '-');
  if (!negative) take_one(text, '+');
  if (!take_count(text, value)) return false;
  if (negative) value = -value;
  return true;
}

bool is_integer(std::string_view word, int64_t &value) { return take_integer(word, value) && word.empty(); }

// A positive decimal number without exponent, not longer than a double can tell.
bool take_decimal(std::string_view &text, std::string_view &number) {
  std::string_view rest = text;
  const std::string_view before = take(rest, is_digit);
  if (before.empty()) return false;
  if (take_one(rest, '.')) take(rest, is_digit);
  number = text.substr(0, text.size() - rest.size());
  text = rest;
  return number.size() <= 40;
}

// Only the characters of ordinary lines, so that all agree on where lines end and what is blank.
bool ordinary(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool line_end = c == '\n' || (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n');
    if (!line_end && c != '\t' && (c < ' ' || c > '~')) return false;
  }
  return true;
}

// Format 16, such as "16", "16x1+24".
bool parse_format(std::string_view word, int64_t &offset) {
  int64_t format = 0, per_frame = 1, skew = 0;
  offset = 0;
  if (!take_count(word, format) || (take_one(word, 'x') && !take_count(word, per_frame))) return false;
  if ((take_one(word, ':') && !take_count(word, skew)) || (take_one(word, '+') && !take_count(word, offset)))
    return false;
  return word.empty() && format == 16 && per_frame == 1 && skew == 0;
}

// Such as "1000/mV", "1000(0)/mV", "200.5".
bool parse_gain(std::string_view word, int64_t zero, PlainSignal &signal) {
  if (!take_decimal(word, signal.gain)) return false;
  signal.baseline = zero;
  if (take_one(word, '(') && !(take_integer(word, signal.baseline) && take_one(word, ')'))) return false;
  signal.units = {};
  if (word.empty()) return true;
  if (!take_one(word, '/') || word.empty()) return false;
  signal.units = word;
  return true;
}

bool is_plain_name(std::string_view file) {
  return file.find_first_of("/\\:") == file.npos && file != "." && file != ".." && file != "~" && file != "-";
}

// The file, format, gain, resolution, zero, first sample, checksum and block size of a signal, and its name.
bool parse_signal(std::string_view line, std::string_view &file, int64_t &offset, PlainSignal &signal) {
  std::string_view words[8];
  for (std::string_view &word : words) {
    word = take_word(line);
    if (word.empty()) return false;
  }
  file = words[0];
  int64_t zero = 0;
  signal.name = strip(line);
  return is_plain_name(file) && parse_format(words[1], offset) && is_integer(words[4], zero) &&
         parse_gain(words[2], zero, signal) && is_integer(words[6], signal.checksum);
}

// The name, number of signals, rate, and samples of a record.
bool parse_first(std::string_view line, int64_t &count, PlainHeader &header) {
  const std::string_view name = take_word(line), signals = take_word(line);
  std::string_view rate = take_word(line);
  const std::string_view samples = take_word(line);
  if (name.find('/') != name.npos || !is_integer(signals, count) || count < 1 || count > 4096) return false;
  return take_decimal(rate, header.rate) && rate.empty() && is_integer(samples, header.samples) && header.samples > 0;
}

} // namespace

bool parse_plain_header(std::string_view text, PlainHeader &header) {
  if (!ordinary(text)) return false;
  int64_t count = -1;
  while (!text.empty()) {
    std::string_view line = take(text, [](char c) { return c != '\n'; });
    take_one(text, '\n');
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    line = strip(line);
    if (line.empty()) continue;
    if (take_one(line, '#')) {
      header.comments.push_back(strip(line));
    } else if (count < 0) {
      if (!parse_first(line, count, header)) return false;
    } else if (static_cast<int64_t>(header.signals.size()) < count) {
      std::string_view file;
      int64_t offset = 0;
      PlainSignal signal{};
      if (!parse_signal(line, file, offset, signal)) return false;
      const bool first = header.signals.empty();
      if (!first && (file != header.file || offset != header.byte_offset)) return false;
      header.file = file;
      header.byte_offset = offset;
      header.signals.push_back(signal);
    }
  }
  return count > 0 && static_cast<int64_t>(header.signals.size()) == count;
}

} // namespace clear_signal
