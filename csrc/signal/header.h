// The text of a WFDB header (physionet.org/physiotools/wag/header-5.htm) of the plainest kind: one file of format 16
// with one sample per frame, everything written out. Whatever is unusual, or wrong, is left to wfdb_header.py, which
// says so.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace clear_signal {

// One signal; all but the numbers are parts of the text.
struct PlainSignal {
  std::string_view gain; // ADC units per unit
  int64_t baseline;
  std::string_view units; // empty: mV
  int64_t checksum;
  std::string_view name;
};

struct PlainHeader {
  std::string_view rate; // Hz
  int64_t samples, byte_offset;
  std::string_view file;
  std::vector<PlainSignal> signals;
  std::vector<std::string_view> comments;
};

// False where the header is of another kind.
bool parse_plain_header(std::string_view text, PlainHeader &header);

} // namespace clear_signal
